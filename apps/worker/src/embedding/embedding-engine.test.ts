import { BACKGROUND_PRIORITY_MAX, type EmbedRequest, type RerankRequest, toInferenceError } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { ScriptedVectorEngine, type VectorScript } from '../token-engine/adapters/scripted/scripted-vector-engine.js';
import { EmbeddingEngine, type EmbeddingOptions } from './embedding-engine.js';
import { NOBODY_OBSERVES_EMBEDDING } from './embedding-observer.js';

const NEVER = new AbortController().signal;
const HEADING = { requestId: 'request', model: 'vectors', priority: 0 };

const closing: EmbeddingEngine[] = [];
afterEach(async () => {
  for (const engine of closing.splice(0)) await engine.close();
});

function open(script: VectorScript = {}, limits: Partial<EmbeddingOptions['limits']> = {}) {
  const vectors = new ScriptedVectorEngine(script);
  const engine = new EmbeddingEngine(vectors, {
    model: { id: 'vectors', aliases: [], created: 7, samplingDefaults: {}, isDefault: false },
    limits: { queueMax: 100, backgroundSteps: 16, requestTimeoutMs: 60_000, backgroundTimeoutMs: 60_000, ...limits },
    observer: NOBODY_OBSERVES_EMBEDDING,
  });
  closing.push(engine);
  return { engine, vectors };
}

const texts = (...all: string[]): EmbedRequest => ({
  ...HEADING,
  inputs: all.map((text) => ({ kind: 'text', text })),
});
const ranking = (query: string, ...documents: string[]): RerankRequest => ({ ...HEADING, query, documents });

/** What a caller would be told. */
async function refusal(failing: Promise<unknown>): Promise<{ code: string; message: string; param?: string }> {
  const error = toInferenceError(
    await failing.then(
      () => {
        throw new Error('It did not fail.');
      },
      (thrown: unknown) => thrown,
    ),
  );
  return { code: error.code, message: error.message, ...(error.details.param && { param: error.details.param }) };
}

const lengthOf = (vector: Float32Array) => Math.hypot(...vector);

describe('EmbeddingEngine', () => {
  it('says what it can', () => {
    expect(open().engine.describe()).toMatchObject({
      id: 'vectors',
      capabilities: ['embedding', 'rerank'],
      contextLength: 512,
      embeddingLength: 32,
      engine: 'scripted 1',
    });
    const scoring = open({ scores: true }).engine.describe();
    expect(scoring.capabilities).toEqual(['rerank']);
    expect(scoring.embeddingLength).toBeUndefined();
  });

  it('embeds texts and tokens, in order, and counts every token', async () => {
    const { engine, vectors } = open();
    const request: EmbedRequest = {
      ...HEADING,
      inputs: [
        { kind: 'text', text: 'a cat' },
        { kind: 'tokens', tokens: vectors.tokenize('rain') },
        { kind: 'text', text: 'a cat' },
      ],
    };
    const { vectors: found, promptTokens } = await engine.embed(request, NEVER);
    expect(found).toHaveLength(3);
    expect(found[0]).toEqual(found[2]);
    expect(found[1]).toEqual((await engine.embed(texts('rain'), NEVER)).vectors[0]);
    expect(promptTokens).toBe(6 + 5 + 6);
  });

  it('shortens vectors on request, and makes them of length 1 again', async () => {
    const { engine } = open();
    const whole = await engine.embed(texts('a cat'), NEVER);
    const short = await engine.embed({ ...texts('a cat'), dimensions: 8 }, NEVER);
    expect(short.vectors[0]).toHaveLength(8);
    expect(lengthOf(short.vectors[0]!)).toBeCloseTo(1, 5);
    expect(short.vectors[0]![3]! / short.vectors[0]![0]!).toBeCloseTo(whole.vectors[0]![3]! / whole.vectors[0]![0]!, 4);
    expect((await engine.embed({ ...texts('a cat'), dimensions: 32 }, NEVER)).vectors[0]).toEqual(whole.vectors[0]);
  });

  it.each([33, 0, -1, 1.5, Number.NaN])('refuses %d dimensions of 32', async (dimensions) => {
    const refused = await refusal(open().engine.embed({ ...texts('a'), dimensions }, NEVER));
    expect(refused).toMatchObject({ code: 'invalid_request', param: 'dimensions' });
    expect(refused.message).toContain(`dimensions is ${dimensions}; the vectors of this model have 32 numbers`);
  });

  it('computes as many inputs side by side as the engine can, and no more', async () => {
    const { engine, vectors } = open({ concurrentMax: 3, msPerInput: 1 });
    await engine.embed(texts(...'abcdefghij'), NEVER);
    expect(vectors.mostAtATime).toBe(3);
  });

  it('answers a request of one input soon, though another of 2,048 came first', async () => {
    const asked = Promise.withResolvers<void>();
    const { engine, vectors } = open({ concurrentMax: 2, onInput: () => asked.promise });
    const leaving = new AbortController();
    const large = engine.embed(texts(...Array.from({ length: 2_048 }, () => 'large')), leaving.signal);
    await expect.poll(() => vectors.computed.length).toBe(2);
    const small = engine.embed(texts('small'), NEVER);
    asked.resolve();
    await small;
    expect(vectors.computed.indexOf('small')).toBeLessThan(10);
    leaving.abort(new Error('enough'));
    await expect(large).rejects.toThrow('enough');
  });

  it('names the input that is empty, too long or not of this model', async () => {
    const { engine } = open({ contextLength: 16 });
    expect(await refusal(engine.embed(texts(), NEVER))).toMatchObject({ code: 'invalid_request', param: 'input' });
    expect(await refusal(engine.embed(texts('a', ''), NEVER))).toMatchObject({
      code: 'invalid_request',
      param: 'input[1]',
    });
    expect(await refusal(engine.embed(texts('x'.repeat(16)), NEVER))).toEqual({
      code: 'context_length_exceeded',
      message:
        "This model's maximum context length is 16 tokens. input has 17 tokens, which exceeds the context window (prompt is too long). Shorten it, or choose a model with a longer context.",
      param: 'input',
    });
    expect(await refusal(engine.embed(texts('a', 'b', 'x'.repeat(1_025)), NEVER))).toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringMatching(
        /^This model's maximum context length is 16 tokens, and it reads at most 1,024 characters\. input\[2\] has 1,025 characters, /,
      ),
    });
    const tokens = (...ids: number[]): EmbedRequest => ({ ...HEADING, inputs: [{ kind: 'tokens', tokens: ids }] });
    expect(await refusal(engine.embed(tokens(), NEVER))).toMatchObject({ code: 'invalid_request', param: 'input' });
    expect(await refusal(engine.embed(tokens(258), NEVER))).toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('its vocabulary has 258'),
    });
  });

  it('does not tokenise a text of more characters than the model could ever hold', async () => {
    const { engine, vectors } = open();
    const longest: number[] = [];
    const tokenize = vectors.tokenize.bind(vectors);
    vectors.tokenize = (text) => {
      longest.push(text.length);
      // As the vocabularies of real models have it: spaces alone are no token.
      return tokenize(text.trim());
    };
    expect(await refusal(engine.embed(texts(' '.repeat(2_000_000)), NEVER))).toMatchObject({ param: 'input' });
    expect(await refusal(engine.rerank(ranking(' '.repeat(2_000_000), 'a'), NEVER))).toMatchObject({ param: 'query' });
    expect(longest).toEqual([]);
    await engine.embed(texts(' '.repeat(32_768)), NEVER);
    expect(longest).toEqual([32_768]);
  });

  it('ranks documents by the cosine of vectors, or by scores where the model gives them', async () => {
    const documents = ['prices rose again', 'the fox is red', 'a fox'];
    const byVectors = await open().engine.rerank(ranking('red fox', ...documents), NEVER);
    expect(byVectors.scores[1]).toBeGreaterThan(byVectors.scores[0]!);
    for (const score of byVectors.scores) expect(Math.abs(score)).toBeLessThanOrEqual(1);
    const byScores = await open({ scores: true }).engine.rerank(ranking('red fox', ...documents), NEVER);
    expect(byScores.scores).toEqual([0, 1, 0.5]);
    expect(byScores.promptTokens).toBe(3 * (1 + 7 + 1) + 17 + 14 + 5);
  });

  it.each([false, true])('names the part of a ranking that is wrong (a model that scores: %s)', async (scores) => {
    const { engine } = open({ contextLength: 24, scores });
    expect(await refusal(engine.rerank(ranking('q'), NEVER))).toMatchObject({ param: 'documents' });
    expect(await refusal(engine.rerank(ranking('', 'a'), NEVER))).toMatchObject({ param: 'query' });
    expect(await refusal(engine.rerank(ranking('q', 'a', ''), NEVER))).toMatchObject({ param: 'documents[1]' });
    expect(await refusal(engine.rerank(ranking('q', 'a', 'x'.repeat(40)), NEVER))).toMatchObject({
      code: 'context_length_exceeded',
      param: 'documents[1]',
    });
    expect(await refusal(engine.rerank(ranking('x'.repeat(500_000), 'a'), NEVER))).toMatchObject({
      code: 'context_length_exceeded',
      param: 'query',
    });
  });

  it('says what it cannot, by code', async () => {
    const { engine } = open();
    const chat = { kind: 'chat', messages: [], tools: [], templateVariables: {} } as const;
    const flags = { addSpecial: false, parseSpecial: false };
    const iterator = engine.answer()[Symbol.asyncIterator]();
    const answers: Promise<unknown>[] = [
      iterator.next(),
      engine.renderPrompt(),
      engine.tokenize({ ...HEADING, prompt: chat, ...flags }),
    ];
    for (const failing of answers) {
      expect(await refusal(failing)).toMatchObject({ code: 'generation_not_supported', param: 'model' });
    }
    const scoring = open({ scores: true }).engine;
    expect(await refusal(scoring.embed(texts('a'), NEVER))).toMatchObject({ code: 'embeddings_not_supported' });
  });

  it('tokenises and detokenises, with the control tokens that are asked for', async () => {
    const { engine } = open();
    const read = (text: string, addSpecial: boolean, parseSpecial: boolean) =>
      engine.tokenize({ ...HEADING, prompt: { kind: 'text', text }, addSpecial, parseSpecial });
    expect((await read('hé', false, false)).tokens).toEqual([104, 195, 169]);
    expect((await read('hé', true, false)).tokens).toEqual([256, 104, 195, 169]);
    expect((await read('<begin>', false, true)).tokens).toEqual([256]);
    expect((await read('<begin>', false, false)).tokens).toHaveLength(7);
    const { pieces } = await read('hé', true, false);
    expect(Buffer.concat(pieces).toString()).toBe('<begin>hé');
    expect(await engine.detokenize([104, 195, 169])).toBe('hé');
    expect(await refusal(engine.detokenize([1, 999]))).toMatchObject({ code: 'invalid_request', param: 'tokens' });
    expect(await refusal(read('x'.repeat(1_048_577), false, false))).toMatchObject({
      code: 'invalid_request',
      param: 'prompt',
    });
  });

  it('fails at the deadline, its own or the worker’s', async () => {
    const { engine } = open({ msPerInput: 50 }, { requestTimeoutMs: 20 });
    const many = texts(...Array.from({ length: 100 }, () => 'a'));
    expect(await refusal(engine.embed(many, NEVER))).toMatchObject({
      code: 'deadline_exceeded',
      message: expect.stringContaining('within 20 ms'),
    });
    expect(await refusal(engine.embed({ ...many, deadlineMs: 5 }, NEVER))).toMatchObject({
      message: expect.stringContaining('within 5 ms'),
    });
    expect(await refusal(engine.rerank({ ...ranking('q', 'a', 'b'), deadlineMs: 5 }, NEVER))).toMatchObject({
      code: 'deadline_exceeded',
    });
  });

  it('has another deadline where nobody waits for it, which the error names', async () => {
    const inputs = texts(...Array.from({ length: 10 }, () => 'a'));
    const unawaited = { ...inputs, priority: BACKGROUND_PRIORITY_MAX };
    const patient = open({ msPerInput: 20 }, { requestTimeoutMs: 40 }).engine;
    expect((await refusal(patient.embed(inputs, NEVER))).message).toMatch(/within 40 ms.* raise requestTimeoutMs/);
    expect((await patient.embed(unawaited, NEVER)).vectors).toHaveLength(10);
    const hasty = open({ msPerInput: 20 }, { backgroundTimeoutMs: 40 }).engine;
    expect((await refusal(hasty.embed(unawaited, NEVER))).message).toMatch(/within 40 ms.* raise backgroundTimeoutMs/);
    const unawaitedRanking = { ...ranking('q', 'a', 'b', 'c', 'd', 'e'), priority: BACKGROUND_PRIORITY_MAX };
    expect((await refusal(hasty.rerank(unawaitedRanking, NEVER))).message).toMatch(/raise backgroundTimeoutMs/);
  });

  it('computes what somebody waits for before the rest of what nobody does', async () => {
    const asked = Promise.withResolvers<void>();
    const { engine, vectors } = open({ concurrentMax: 1, onInput: () => asked.promise });
    const many = texts(...Array.from({ length: 50 }, (_, at) => `background ${at}`));
    const background = engine.embed({ ...many, priority: BACKGROUND_PRIORITY_MAX }, NEVER);
    await expect.poll(() => vectors.computed).toEqual(['background 0']);
    const ranked = engine.rerank(ranking('query', 'first', 'second'), NEVER);
    asked.resolve();
    await ranked;
    expect((await background).vectors).toHaveLength(50);
    expect(vectors.computed.slice(0, 5)).toEqual(['background 0', 'query', 'first', 'second', 'background 1']);
  });

  it('says how full it is, and refuses when too many requests wait', async () => {
    const { engine } = open({ concurrentMax: 1, msPerInput: 20 }, { queueMax: 1 });
    const leaving = new AbortController();
    const requests = [1, 2, 3].map(() => engine.embed(texts('a', 'b'), leaving.signal));
    expect(await refusal(requests[2]!)).toMatchObject({ code: 'rate_limit_exceeded' });
    expect(await refusal(requests[1]!)).toMatchObject({ code: 'rate_limit_exceeded' });
    expect(engine.load()).toEqual({ running: 1, waiting: 0 });
    leaving.abort(new Error('enough'));
    await expect(requests[0]).rejects.toThrow('enough');
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('fails a request that the engine breaks on, and goes on with others', async () => {
    const { engine } = open({ breaksAt: 'bad' });
    const good = engine.embed(texts('good', 'fine'), NEVER);
    expect(await refusal(engine.embed(texts('good', 'bad', 'fine'), NEVER))).toMatchObject({ code: 'internal_error' });
    expect((await good).vectors).toHaveLength(2);
  });

  it('fails what waits when it closes, and closes the engine beneath', async () => {
    const closed = Promise.withResolvers<void>();
    const { engine, vectors } = open({ concurrentMax: 1, onInput: () => closed.promise });
    const refused = refusal(engine.embed(texts('a', 'b', 'c'), NEVER));
    await expect.poll(() => engine.load().running).toBe(1);
    const closing = engine.close();
    closed.resolve();
    expect((await refused).code).toBe('shutting_down');
    await closing;
    expect(vectors.closed).toBe(true);
  });
});
