import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { choosingContract } from './choosing.contract.js';
import { type Marks, marksContract } from './marks.contract.js';
import type { ResolvedSampling, TokenEngine } from './token-engine.js';
import { chosenBy, detokenize, type EngineSizes, GREEDY, generate, inTurn, NOTHING } from './token-engine.testing.js';

/** What the contract asks for; small, so that its limits are cheap to reach. */
const SIZES: EngineSizes = { contextLength: 256, placesMax: 6, tokensPerStepMax: 128 };

const WARM: ResolvedSampling = { ...GREEDY, temperature: 1 };

const PROMPTS = [
  'What is the capital of France?',
  'Once upon a time',
  'Explique, em até 120 palavras, o que é consistência eventual.',
  '1 2 3',
  'x',
];

/** Characters of one to four bytes, a byte-order mark, a genuine U+FFFD, and ends of all kinds of lines. */
const ODD_TEXTS = [
  'naïve café, 東京 — 🦙🏽‍♂️ e\u0301',
  '\ufeffmark',
  'a\ufffdb\ufffd',
  ' two  spaces ? and , more . ',
  'tab\tnul\u0000cr\r\nend\n',
];

/**
 * What every TokenEngine must do. Each adapter's test runs this, then adds what is true of it alone.
 *
 * Nothing here knows what a model says: two runs are compared, so it holds for any weights. Tokens are taken as they
 * come, past the end of an answer too.
 */
export function tokenEngineContract(
  adapter: string,
  open: (sizes: EngineSizes) => Promise<TokenEngine>,
  marks: Marks,
): void {
  describe(`${adapter} as a TokenEngine`, () => {
    let engine: TokenEngine;
    beforeAll(async () => {
      engine = await open(SIZES);
    });
    afterAll(() => engine.close());
    beforeEach(() => {
      for (let place = 0; place < SIZES.placesMax; place++) engine.cutBack(place, 0);
    });

    const prompt = (text: string) => engine.tokenize(text, { special: true, beginning: true });

    it('describes the model it was opened with', () => {
      expect(engine.model).toMatchObject(SIZES);
      expect(engine.model.vocabularySize).toBeGreaterThan(256);
      expect(engine.model.engine).toMatch(/^\S+ \S+$/);
      expect(engine.model.cutsAnywhere).toBe(true);
      expect(engine.model.copyCostTokens).toBeGreaterThanOrEqual(1);
    });

    describe('text and tokens', () => {
      it.each(ODD_TEXTS)('gives back %j after a round trip', (text) => {
        expect(detokenize(engine, engine.tokenize(text, { special: false, beginning: false }))).toBe(text);
      });

      it('gives back any text after a round trip, in whole characters', () => {
        fc.assert(
          fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
            fc.pre(!text.includes('\ufffd')); // Here it would stand for half a character.
            const detokenizer = engine.openDetokenizer();
            const pieces = engine
              .tokenize(text, { special: false, beginning: false })
              .map((token) => detokenizer.push(token));
            expect(pieces.every((piece) => piece.isWellFormed() && !piece.includes('\ufffd'))).toBe(true);
            expect(pieces.join('') + detokenizer.end()).toBe(text);
          }),
        );
      });

      it('never shows half a character, whatever the tokens', () => {
        const token = fc.integer({ min: 0, max: engine.model.vocabularySize - 1 });
        fc.assert(
          fc.property(fc.array(token, { maxLength: 30 }), fc.nat(30), (tokens, at) => {
            const whole = detokenize(engine, tokens);
            const cut = engine.openDetokenizer();
            const before = tokens.slice(0, at).map((token) => cut.push(token));
            const after = tokens.slice(at).map((token) => cut.push(token));
            expect(whole.isWellFormed()).toBe(true);
            expect([...before, ...after].every((piece) => whole.includes(piece))).toBe(true);
            expect([...before, ...after].join('') + cut.end()).toBe(whole);
          }),
        );
      });

      it('gives at the end, as U+FFFD, bytes that never became a character', () => {
        const tokens = engine.tokenize('🦙', { special: false, beginning: false });
        const detokenizer = engine.openDetokenizer();
        const shown = tokens.slice(0, -1).map((token) => detokenizer.push(token));
        expect(shown.join('')).toBe('');
        expect(detokenizer.end()).toBe('\ufffd');
        expect(detokenizer.end()).toBe('');
      });

      it('reads the text of a control token as that token only when told to', () => {
        const { endText } = engine.model;
        const [token, ...rest] = engine.tokenize(endText, { special: true, beginning: false });
        expect(rest).toEqual([]);
        expect(engine.isEnd(token!)).toBe(true);
        expect(engine.openDetokenizer().push(token!)).toBe('');

        const spelt = engine.tokenize(endText, { special: false, beginning: false });
        expect(spelt).not.toContain(token);
        expect(detokenize(engine, spelt)).toBe(endText);
      });

      it('tells the bytes of every token, and the name of a control token', () => {
        const tokens = engine.tokenize('naïve 🦙', { special: false, beginning: false });
        expect(Buffer.concat(tokens.map((token) => engine.bytesOf(token))).toString()).toBe('naïve 🦙');
        const [end] = engine.tokenize(engine.model.endText, { special: true, beginning: false });
        expect(Buffer.from(engine.bytesOf(end!)).toString()).toBe(engine.model.endText);
      });

      it('takes no letter for the end of an answer', () => {
        const letters = engine.tokenize('Paris', { special: false, beginning: false });
        expect(letters.some((token) => engine.isEnd(token))).toBe(false);
      });
    });

    describe('reading', () => {
      it('chooses the same after a prompt in chunks as after the whole', async () => {
        const tokens = prompt(PROMPTS[0]!);
        const whole = await generate(engine, { place: 0, tokens, count: 5 });

        for (const chunk of [1, 3]) {
          engine.cutBack(1, 0);
          for (let at = 0; at < tokens.length - 2; at += chunk) {
            const part = tokens.slice(at, Math.min(at + chunk, tokens.length - 2));
            expect(await engine.step([{ place: 1, position: at, tokens: part, choose: false }])).toEqual(NOTHING);
          }
          const rest = { place: 1, position: tokens.length - 2, tokens: tokens.slice(-2), count: 5 };
          expect(await generate(engine, rest)).toEqual(whole);
        }
      });

      it('answers nothing to a step without a choice, or without work', async () => {
        expect(await engine.step([])).toEqual(NOTHING);
        expect(await engine.step([{ place: 2, position: 0, tokens: prompt('x'), choose: false }])).toEqual(NOTHING);
      });

      it('keeps what is left of a place that was cut back', async () => {
        const tokens = prompt(PROMPTS[0]!);
        const first = await generate(engine, { place: 0, tokens, count: 6 });

        engine.cutBack(0, tokens.length - 1);
        const again = { place: 0, position: tokens.length - 1, tokens: tokens.slice(-1), count: 6 };
        expect(await generate(engine, again)).toEqual(first);
      });

      it('forgets what a cleared place held', async () => {
        const tokens = prompt(PROMPTS[1]!);
        const alone = await generate(engine, { place: 0, tokens, count: 6 });
        await generate(engine, { place: 1, tokens: prompt(PROMPTS[2]!), count: 6 });
        engine.cutBack(1, 0);

        expect(await generate(engine, { place: 1, tokens, count: 6 })).toEqual(alone);
      });
    });

    describe('batches', () => {
      it('chooses for each sequence as if it were alone, while others join and leave', async () => {
        const count = 20;
        const alone: number[][] = [];
        for (const text of PROMPTS) {
          engine.cutBack(0, 0);
          alone.push(await generate(engine, { place: 0, tokens: prompt(text), count }));
        }
        engine.cutBack(0, 0);

        // Each joins two steps after the one before it, in a place of its own, and leaves after 20 tokens. One place
        // stays empty, and the works are not in the order of the places.
        const places = [4, 0, 5, 2, 1];
        const sequences = PROMPTS.map((text, index) => ({
          place: places[index]!,
          joinsAt: index * 2,
          position: 0,
          next: prompt(text),
          answer: [] as number[],
        }));
        for (let step = 0; step < count + 2 * PROMPTS.length; step++) {
          const taking = sequences.filter(({ joinsAt, answer }) => joinsAt <= step && answer.length < count);
          for (const { joinsAt, place } of taking)
            if (joinsAt === step) engine.prepare(place, { sampling: GREEDY }, [], []);
          const { chosen } = await engine.step(
            taking.map(({ place, position, next: tokens }) => ({ place, position, tokens, choose: true })),
          );
          for (const sequence of taking) {
            const { token } = chosen.find(({ place }) => place === sequence.place)!;
            sequence.position += sequence.next.length;
            sequence.next = [token];
            sequence.answer.push(token);
          }
        }
        expect(sequences.map(({ answer }) => answer)).toEqual(alone);
      });

      it('leaves a place between two others as it was', async () => {
        const tokens = prompt(PROMPTS[2]!);
        const answer = await generate(engine, { place: 2, tokens, count: 4 });
        engine.cutBack(2, tokens.length);
        for (const place of [0, 1, 3]) engine.prepare(place, { sampling: GREEDY }, [], []);
        for (let position = 0; position < 3; position++) {
          await engine.step([3, 0, 1].map((place) => ({ place, position, tokens: [5], choose: true })));
        }

        const rest = { place: 2, position: tokens.length, tokens: answer.slice(0, 1), count: 3 };
        expect(await generate(engine, rest)).toEqual(answer.slice(1));
      });

      it('reads a prompt for one place while it chooses for another', async () => {
        const [running, joining] = [prompt(PROMPTS[0]!), prompt(PROMPTS[2]!)];
        const alone = await generate(engine, { place: 0, tokens: running, count: 4 });
        const joined = await generate(engine, { place: 1, tokens: joining, count: 1 });
        engine.cutBack(0, running.length);
        engine.cutBack(1, 0);

        engine.prepare(0, { sampling: GREEDY }, [], alone.slice(0, 1));
        const half = Math.floor(joining.length / 2);
        const [second] = await chosenBy(engine, [
          { place: 1, position: 0, tokens: joining.slice(0, half), choose: false },
          { place: 0, position: running.length, tokens: alone.slice(0, 1), choose: true },
        ]);
        engine.prepare(1, { sampling: GREEDY }, [], []);
        const both = await chosenBy(engine, [
          { place: 0, position: running.length + 1, tokens: [second!.token], choose: true },
          { place: 1, position: half, tokens: joining.slice(half), choose: true },
        ]);

        expect(second).toEqual({ place: 0, token: alone[1] });
        expect(both).toContainEqual({ place: 0, token: alone[2] });
        expect(both).toContainEqual({ place: 1, token: joined[0] });
      });
    });

    describe('choosing', () => {
      const sampled = async (sampling: ResolvedSampling, count = 24) => {
        engine.cutBack(0, 0);
        return await generate(engine, { place: 0, tokens: prompt(PROMPTS[1]!), count, sampling });
      };

      it('repeats itself for the same seed, and not for another', async () => {
        // Five seeds, since a model that is very sure of itself may say the same for two.
        const answers = await inTurn([7, 8, 9, 10, 0xffffffff], (seed) => sampled({ ...WARM, temperature: 2, seed }));
        expect(await sampled({ ...WARM, temperature: 2, seed: 7 })).toEqual(answers[0]);
        expect(await sampled({ ...WARM, temperature: 2, seed: 0xffffffff })).toEqual(answers.at(-1));
        expect(new Set(answers.map(String)).size).toBeGreaterThan(1);
      });

      it('takes the likeliest token at temperature 0, and when only one may be considered', async () => {
        const greedy = await sampled(GREEDY);
        expect(await sampled({ ...WARM, topK: 1 })).toEqual(greedy);
        expect(await sampled({ ...GREEDY, seed: 99 })).toEqual(greedy);
      });

      // Not with top_p: it ranks the tokens, and where two are as good as equal (as with random weights) their rank is a
      // matter of rounding, which differs between a prompt read at once and one read token by token.
      it.each([
        ['greedy', GREEDY],
        ['by a seed', { ...WARM, seed: 5 }],
        ['with penalties', { ...WARM, seed: 6, presencePenalty: 0.5, frequencyPenalty: 1 }],
      ] as const)('goes on elsewhere as if undisturbed, %s', async (_how, sampling) => {
        const tokens = prompt(PROMPTS[0]!);
        const whole = await generate(engine, { place: 0, tokens, count: 16, sampling });
        const chosen = whole.slice(0, 9);

        const rest = await generate(engine, { place: 3, tokens: [...tokens, ...chosen], count: 7, sampling, chosen });
        expect([...chosen, ...rest]).toEqual(whole);
      });

      it('forgets how a place chose before when it is prepared anew', async () => {
        const plain = await sampled(GREEDY);
        await sampled({ ...WARM, seed: 3, topK: 5, topP: 0.5, minP: 0.1, presencePenalty: 2, frequencyPenalty: 2 });
        expect(await sampled(GREEDY)).toEqual(plain);
      });

      it('repeats fewer tokens under penalties, and heeds those of the answer only', async () => {
        const plain = await sampled(GREEDY, 60);
        const penalised = await sampled({ ...GREEDY, presencePenalty: 2, frequencyPenalty: 2 }, 60);
        expect(new Set(penalised).size).toBeGreaterThan(new Set(plain).size);
        expect(penalised[0]).toBe(plain[0]);
      });
    });

    choosingContract(() => engine);

    marksContract(() => engine, marks);

    describe('copies', () => {
      const COUNT = 6;

      it('answers from a copy as from the original, which goes on undisturbed', async () => {
        const tokens = prompt(PROMPTS[0]!);
        const whole = await generate(engine, { place: 0, tokens, count: COUNT });
        engine.cutBack(0, tokens.length);
        await engine.copy(0, 4, tokens.length);

        const rest = { position: tokens.length, tokens: whole.slice(0, 1), count: COUNT - 1 };
        expect(await generate(engine, { place: 4, ...rest })).toEqual(whole.slice(1));
        expect(await generate(engine, { place: 0, ...rest })).toEqual(whole.slice(1));
      });

      it('copies the beginning of a place, over whatever the other place held', async () => {
        const tokens = prompt(PROMPTS[2]!);
        const whole = await generate(engine, { place: 0, tokens, count: COUNT });
        await generate(engine, { place: 1, tokens: prompt(PROMPTS[1]!), count: COUNT });
        await engine.copy(0, 1, tokens.length - 1);

        const last = { position: tokens.length - 1, tokens: tokens.slice(-1), count: COUNT };
        expect(await generate(engine, { place: 1, ...last })).toEqual(whole);
      });

      it('copies copies, and keeps them when the original is cleared before the next step', async () => {
        const tokens = prompt(PROMPTS[0]!);
        const whole = await generate(engine, { place: 5, tokens, count: COUNT });
        await engine.copy(5, 0, tokens.length);
        await engine.copy(0, 2, tokens.length - 1);
        engine.cutBack(5, 0);
        engine.cutBack(0, 0);
        await engine.step([{ place: 5, position: 0, tokens: prompt(PROMPTS[1]!), choose: false }]);

        const last = { position: tokens.length - 1, tokens: tokens.slice(-1), count: COUNT };
        expect(await generate(engine, { place: 2, ...last })).toEqual(whole);
      });

      it('clears a place by copying nothing into it', async () => {
        await engine.step([{ place: 0, position: 0, tokens: prompt('x'), choose: false }]);
        await engine.copy(1, 0, 0);
        expect(await engine.step([{ place: 0, position: 0, tokens: prompt('x'), choose: false }])).toEqual(NOTHING);
      });

      it('refuses to copy a place onto itself, more than it holds, or a place that is not there', async () => {
        await engine.step([{ place: 0, position: 0, tokens: [5, 6], choose: false }]);
        await expect(engine.copy(0, 0, 2)).rejects.toThrow(/onto itself/);
        await expect(engine.copy(0, 1, 3)).rejects.toThrow(/holds 2 tokens/);
        await expect(engine.copy(0, 6, 2)).rejects.toThrow(/no place 6/);
      });
    });

    describe('misuse', () => {
      const work = { place: 0, position: 0, tokens: [5, 6], choose: false };

      it.each([
        ['a place that is not there', [{ ...work, place: SIZES.placesMax }], /no place 6.*has 6/],
        ['two works for one place', [work, { ...work, position: 2 }], /two works/],
        ['a hole', [{ ...work, position: 3 }], /holds 0 tokens.*at 0, not at 3/],
        ['no tokens', [{ ...work, tokens: [] }], /no tokens to read/],
        ['a token that is none', [{ ...work, tokens: [-1] }], /-1 is no token/],
        ['a choice that was not prepared', [{ ...work, place: 5, choose: true }], /not prepared/],
        ['scores that were not prepared', [{ ...work, scored: [5] }], /not prepared to tell/],
        ['more scores than tokens', [{ ...work, scored: [5, 6, 7] }], /score 3 tokens but reads 2/],
        ['a score of a token that is none', [{ ...work, scored: [1e9] }], /1000000000 is no token/],
        ['more tokens than a step takes', [{ ...work, tokens: Array(129).fill(5) }], /has 129 tokens.*takes 128/],
      ])('refuses %s, and changes nothing', async (_what, works, sentence) => {
        const fresh = await open(SIZES);
        try {
          await expect(fresh.step(works)).rejects.toThrow(sentence);
          expect(await fresh.step([work])).toEqual(NOTHING);
        } finally {
          await fresh.close();
        }
      });

      it('refuses what goes beyond the context, with both numbers, and never shifts it', async () => {
        const full = Array<number>(SIZES.tokensPerStepMax).fill(5);
        await engine.step([{ ...work, tokens: full }]);
        await engine.step([{ ...work, position: 128, tokens: full }]);

        const beyond = engine.step([{ ...work, position: 256, tokens: [5] }]);
        await expect(beyond).rejects.toMatchObject({ code: 'context_length_exceeded' });
        await expect(beyond).rejects.toThrow(/256.*257/);
        expect(() => engine.cutBack(0, 257)).toThrow(/256 tokens/);
        engine.cutBack(0, 255);
        expect(await engine.step([{ ...work, position: 255, tokens: [5] }])).toEqual(NOTHING);
      });

      it('refuses to be touched during a step', async () => {
        const step = engine.step([work]);
        expect(() => engine.cutBack(0, 0)).toThrow(/during a step/);
        expect(() => engine.prepare(0, { sampling: GREEDY }, [], [])).toThrow(/during a step/);
        await expect(engine.copy(0, 1, 0)).rejects.toThrow(/during a step/);
        await expect(engine.step([{ ...work, place: 1 }])).rejects.toThrow(/during a step/);
        await step;
      });

      it('refuses to step during a copy', async () => {
        await engine.step([work]);
        const copy = engine.copy(0, 1, 2);
        await expect(engine.step([{ ...work, position: 2 }])).rejects.toThrow(/during a copy/);
        await copy;
      });

      it('refuses to work once it is closed, and may be closed twice', async () => {
        const closed = await open(SIZES);
        await closed.close();
        await closed.close();
        await expect(closed.step([work])).rejects.toThrow(/closed/);
        expect(() => closed.cutBack(0, 0)).toThrow(/closed/);
      });
    });
  });
}
