import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VectorEngine } from './vector-engine.js';

const NEVER = new AbortController().signal;

/** Texts of several lengths, in letters that any vocabulary has. */
const TEXTS = [
  'the capital of france is paris',
  'rain falls in spain',
  'hello',
  'hello world, hello rain. is the world in the rain?',
  'paris is the capital of france and madrid that of spain',
];

/**
 * What every VectorEngine must do. Each adapter's test runs this, then adds what is true of it alone.
 *
 * Nothing here knows what a model makes of a text: runs are compared, so it holds for any weights. `vectors` opens an
 * engine of at least two lanes, `scores` one that scores pairs.
 */
export function vectorEngineContract(
  adapter: string,
  open: { readonly vectors: () => Promise<VectorEngine>; readonly scores: () => Promise<VectorEngine> },
): void {
  describe(`${adapter} as a VectorEngine that makes vectors`, () => {
    let engine: VectorEngine;
    beforeAll(async () => {
      engine = await open.vectors();
    });
    afterAll(() => engine.close());
    const embed = (text: string) => engine.embed(engine.tokenize(text), NEVER);

    it('makes vectors of length 1, as many numbers as it says', async () => {
      for (const text of TEXTS) {
        const vector = await embed(text);
        expect(vector).toHaveLength(engine.model.embeddingLength);
        expect(lengthOf(vector)).toBeCloseTo(1, 5);
      }
      expect(engine.model.scores).toBe(false);
    });

    it('gives the same text the same vector, whatever was computed before or beside it', async () => {
      const alone = [];
      for (const text of TEXTS) alone.push(await embed(text));
      const together = await Promise.all([...TEXTS, ...TEXTS].map(embed));
      for (const [index, vector] of together.entries()) {
        expect(cosine(vector, alone[index % TEXTS.length]!)).toBeGreaterThan(0.9999);
      }
    });

    it('gives different texts different vectors', async () => {
      const vectors = await Promise.all(TEXTS.map(embed));
      for (const [a, one] of vectors.entries()) {
        for (const other of vectors.slice(a + 1)) expect(cosine(one, other)).toBeLessThan(0.99999);
      }
    });

    it('reads an input up to its whole context, and refuses one token more', async () => {
      const { contextLength } = engine.model;
      const [token] = engine.tokenizePlain('hello', false);
      const filled = Array.from({ length: contextLength }, () => token!);
      expect(lengthOf(await engine.embed(filled, NEVER))).toBeCloseTo(1, 5);
      await expect(engine.embed([...filled, token!], NEVER)).rejects.toThrow(String(contextLength));
    });

    it('refuses an input without tokens, and tokens that are none', async () => {
      await expect(engine.embed([], NEVER)).rejects.toThrow(/0 tokens/);
      for (const token of [engine.model.vocabularySize, -1, 0.5, Number.NaN]) {
        await expect(engine.embed([token], NEVER)).rejects.toThrow(/none of the model's/);
        expect(() => engine.detokenize([token])).toThrow(/none of the model's/);
        expect(() => engine.bytesOf(token)).toThrow(/none of the model's/);
      }
    });

    it('computes nothing for a signal that is aborted, and lets go of one that waits', async () => {
      const reason = new Error('nobody waits any more');
      await expect(engine.embed(engine.tokenize('hello'), AbortSignal.abort(reason))).rejects.toBe(reason);
      const leaving = new AbortController();
      const many = Array.from({ length: engine.model.concurrentMax * 4 }, () =>
        engine.embed(engine.tokenize(TEXTS[3]!), leaving.signal).catch((error: unknown) => error),
      );
      leaving.abort(reason);
      expect(await Promise.all(many)).toEqual(many.map(() => reason));
      expect(lengthOf(await embed('hello'))).toBeCloseTo(1, 5);
    });

    it('puts the control tokens that the model wants around a whole input, and none around a plain text', () => {
      const whole = engine.tokenize('hello world');
      const plain = engine.tokenizePlain('hello world', false);
      expect(whole.length).toBeGreaterThan(plain.length);
      expect(whole.join(' ')).toContain(plain.join(' '));
    });

    it('turns tokens back into the words they came from', () => {
      for (const text of ['hello world', 'rain falls in spain']) {
        const tokens = engine.tokenizePlain(text, false);
        expect(engine.detokenize(tokens).toLowerCase()).toBe(text);
        const bytes = Buffer.concat(tokens.map((token) => engine.bytesOf(token)));
        expect(bytes.toString('utf8').trim()).toBe(text);
      }
    });

    it('scores no pairs', async () => {
      await expect(engine.score(engine.tokenize('hello'), NEVER)).rejects.toThrow(/scores no pairs/);
      expect(() => engine.joinPair('a', 'b')).toThrow(/scores no pairs/);
    });
  });

  describe(`${adapter} as a VectorEngine that scores`, () => {
    let engine: VectorEngine;
    beforeAll(async () => {
      engine = await open.scores();
    });
    afterAll(() => engine.close());
    const score = (query: string, document: string) => engine.score(engine.joinPair(query, document), NEVER);

    it('scores a pair from 0 to 1, the same each time, alone or beside others', async () => {
      const alone = [];
      for (const text of TEXTS) alone.push(await score('the capital of france', text));
      const together = await Promise.all(TEXTS.map((text) => score('the capital of france', text)));
      for (const [index, value] of together.entries()) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
        expect(value).toBeCloseTo(alone[index]!, 4);
      }
      expect(new Set(alone).size).toBeGreaterThan(1);
    });

    it('tells a query from a document', () => {
      expect(engine.joinPair('hello', 'world')).not.toEqual(engine.joinPair('world', 'hello'));
      expect(engine.joinPair('hello world', 'rain')).not.toEqual(engine.joinPair('hello', 'world rain'));
    });

    it('makes no vectors', async () => {
      expect(engine.model).toMatchObject({ scores: true, embeddingLength: 0 });
      await expect(engine.embed(engine.tokenize('hello'), NEVER)).rejects.toThrow(/makes no vectors/);
    });
  });

  describe(`${adapter}, closed`, () => {
    it('closes once what it computes is computed, twice if need be, and then computes nothing', async () => {
      const engine = await open.vectors();
      const tokens = engine.tokenize('hello');
      const last = engine.embed(tokens, NEVER);
      await Promise.all([engine.close(), engine.close()]);
      expect(lengthOf(await last)).toBeCloseTo(1, 5);
      await expect(engine.embed(tokens, NEVER)).rejects.toThrow(/closed/);
    });
  });
}

function lengthOf(vector: Float32Array): number {
  return Math.sqrt(cosine(vector, vector));
}

/** Of vectors of length 1. */
function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, at) => sum + value * b[at]!, 0);
}
