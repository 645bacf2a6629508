import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { BACKGROUND_PRIORITY_MAX, InferenceError } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { EmbeddingEngine } from '../embedding/embedding-engine.js';
import { NOBODY_OBSERVES_EMBEDDING } from '../embedding/embedding-observer.js';
import { ScriptedVectorEngine, type VectorScript } from '../token-engine/adapters/scripted/scripted-vector-engine.js';
import { chatMessage, openServer, TestGateway } from './serving.testing.js';
import { TellingEngine, type Told } from './telling-engine.testing.js';
import type { WorkerServerSettings } from './worker-server.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A worker with an embedding model, and beside it a model that does what it is told. */
async function open(script: VectorScript = {}, told: Told = {}, settings: Partial<WorkerServerSettings> = {}) {
  const vectors = new ScriptedVectorEngine(script);
  const engine = new EmbeddingEngine(vectors, {
    model: { id: 'vectors', aliases: ['embed'], created: 7, samplingDefaults: {}, isDefault: false },
    limits: { queueMax: 1_000, backgroundSteps: 16, requestTimeoutMs: 60_000, backgroundTimeoutMs: 60_000 },
    observer: NOBODY_OBSERVES_EMBEDDING,
  });
  const test = await openServer(engine, settings, undefined, undefined, [new TellingEngine(told)]);
  const gateway = new TestGateway(test.address);
  closing.push(test.close, () => gateway.close());
  return { engine, vectors, test, gateway };
}

const floats = (bytes: Uint8Array) => new Float32Array(Uint8Array.from(bytes).buffer);
const chat = chatMessage('[{"role":"user","content":"hi"}]');

describe('calls for work that is no answer', () => {
  it('describes what each model can', async () => {
    const { gateway } = await open();
    const { models } = await gateway.describe();
    expect(models.map(({ id, capabilities, embeddingLength }) => [id, capabilities, embeddingLength])).toEqual([
      ['vectors', ['embedding', 'rerank'], 32],
      ['scripted', ['chat'], 0],
    ]);
  });

  it('embeds, by id or alias: vectors as little-endian floats, tokens counted in the last part', async () => {
    const { gateway, vectors } = await open();
    const parts = await gateway.embed(['a cat', 'rain'], { model: 'embed' }, 8);
    expect(parts).toHaveLength(1);
    expect(parts[0]).toMatchObject({ promptTokens: 6 + 5, failure: undefined });
    const [first, second] = parts[0]!.vectors.map(floats);
    expect([first!.length, second!.length]).toEqual([8, 8]);
    expect(Math.hypot(...first!)).toBeCloseTo(1, 5);
    const alone = await vectors.embed(vectors.tokenize('a cat'), new AbortController().signal);
    expect(first![1]! / first![0]!).toBeCloseTo(alone[1]! / alone[0]!, 4);
  });

  it('sends many vectors in parts of at most 64 and 1 MiB, in order', async () => {
    const { gateway } = await open();
    const texts = Array.from({ length: 150 }, (_, at) => `text ${at}`);
    const parts = await gateway.embed(texts);
    expect(parts.map((part) => part.vectors.length)).toEqual([64, 64, 22]);
    expect(parts.map(({ promptTokens }) => promptTokens > 0)).toEqual([false, false, true]);
    const [last] = (await gateway.embed(['text 149']))[0]!.vectors;
    expect(parts.at(-1)!.vectors.at(-1)).toEqual(last);
    const { gateway: long } = await open({ embeddingLength: 100_000, concurrentMax: 4 });
    const long5 = await long.embed(texts.slice(0, 5));
    expect(long5.map((part) => part.vectors.length)).toEqual([2, 2, 1]);
  });

  it('keeps no more of a reply than the connection takes, and gives a slow reader all of it', async () => {
    const { gateway, test } = await open({ embeddingLength: 50_000, concurrentMax: 4 });
    const texts = Array.from({ length: 60 }, (_, at) => `text ${at}`);
    let parts = 0;
    const slow = gateway.embed(texts, { pause: () => (parts++ < 3 ? sleep(30) : Promise.resolve()) });
    const quick = await gateway.embed(['quick']);
    expect(quick).toHaveLength(1);
    expect((await slow).flatMap(({ vectors }) => vectors)).toHaveLength(60);
    await test.server.drain(1_000);
  });

  it('ranks, tokenises, detokenises and renders', async () => {
    const { gateway } = await open(
      {},
      {
        tokenize: async ({ prompt, addSpecial, parseSpecial }) => ({
          tokens: [prompt.kind === 'chat' ? 1 : 2, Number(addSpecial), Number(parseSpecial)],
          pieces: [Buffer.from('a'), Buffer.from('é'), Buffer.from([0xff])],
        }),
        detokenize: async (tokens) => tokens.join(' '),
        renderPrompt: async ({ messages }) => JSON.stringify(messages),
      },
    );
    const ranking = await gateway.rerank({ query: 'red fox', documents: ['prices rose', 'the fox is red'] });
    expect(ranking.scores[1]).toBeGreaterThan(ranking.scores[0]!);
    expect(ranking.promptTokens).toBe(8 + 12 + 15);
    const read = await gateway.tokenize({ prompt: { $case: 'text', value: 'x' }, addSpecial: true });
    expect(read.tokens).toEqual([2, 1, 0]);
    expect(read.pieces.map((piece) => [...piece])).toEqual([[97], [195, 169], [255]]);
    expect((await gateway.tokenize({ prompt: { $case: 'chat', value: chat } })).tokens[0]).toBe(1);
    expect((await gateway.detokenize({ tokens: [3, 4] })).text).toBe('3 4');
    expect((await gateway.renderPrompt({ chat })).text).toBe('[{"role":"user","content":"hi"}]');
  });

  it('says in the reply what the caller did wrong, by name', async () => {
    const { gateway } = await open({ contextLength: 16 });
    const failures = [
      (await gateway.embed(['a'], { model: 'other' }))[0]!.failure,
      (await gateway.embed(['a', 'x'.repeat(40)]))[0]!.failure,
      (await gateway.embed(['a'], {}, 33))[0]!.failure,
      (await gateway.embed(Array.from({ length: 2_049 }, () => 'a')))[0]!.failure,
      (await gateway.rerank({ documents: [] })).failure,
      (await gateway.rerank({ documents: Array.from({ length: 2_049 }, () => 'a') })).failure,
      (await gateway.tokenize({})).failure,
      (await gateway.renderPrompt({})).failure,
      (await gateway.renderPrompt({ chat: { ...chat, messagesJson: '{' } })).failure,
      (await gateway.renderPrompt({ chat }, { model: 'vectors' })).failure,
      (await gateway.detokenize({ tokens: [300] }, { model: 'vectors' })).failure,
    ];
    expect(failures.map((failure) => [failure?.code, failure?.param])).toEqual([
      ['model_not_found', 'model'],
      ['context_length_exceeded', 'input[1]'],
      ['invalid_request', 'dimensions'],
      ['invalid_request', 'input'],
      ['invalid_request', 'documents'],
      ['invalid_request', 'documents'],
      ['invalid_request', 'prompt'],
      ['invalid_request', 'messages'],
      ['invalid_request', 'messages'],
      ['generation_not_supported', 'model'],
      ['invalid_request', 'tokens'],
    ]);
  });

  it('shows nothing of an unforeseen failure', async () => {
    const { gateway } = await open({ breaksAt: 'bad' });
    const [part] = await gateway.embed(['good', 'bad']);
    expect(part).toMatchObject({ vectors: [], failure: { code: 'internal_error' } });
    expect(part!.failure!.message).not.toContain('broke');
    expect((await gateway.embed(['good']))[0]!.failure).toBeUndefined();
  });

  it('stops work when its call is cancelled', async () => {
    const { gateway, engine, vectors } = await open({ msPerInput: 5, concurrentMax: 1 });
    const leaving = new AbortController();
    const texts = Array.from({ length: 500 }, () => 'text');
    const call = gateway.embed(texts, { signal: leaving.signal });
    await expect.poll(() => vectors.computed.length).toBeGreaterThan(0);
    leaving.abort();
    await expect(call).rejects.toMatchObject({ code: status.CANCELLED });
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
    expect(vectors.computed.length).toBeLessThan(400);
  });

  it('fails at the deadline of the call or of the worker, even if the engine does not', async () => {
    const never = new Promise<never>(() => undefined);
    const { gateway, test } = await open({ msPerInput: 200 }, { tokenize: () => never }, { requestTimeoutMs: 40 });
    const [part] = await gateway.embed(['a'], { deadlineMs: 20 });
    expect(part!.failure).toMatchObject({ code: 'deadline_exceeded', message: expect.stringContaining('20 ms') });
    const late = await gateway.tokenize({ prompt: { $case: 'text', value: 'x' } }, { deadlineMs: 100_000 });
    expect(late.failure).toMatchObject({ code: 'deadline_exceeded', message: expect.stringContaining('40 ms') });
    await test.server.drain(1_000);
  });

  it('has another deadline where nobody waits for the call, which the failure names', async () => {
    const { gateway } = await open({ msPerInput: 100 }, {}, { requestTimeoutMs: 40 });
    const [late] = await gateway.embed(['a']);
    expect(late!.failure?.message).toMatch(/within 40 ms.* raise requestTimeoutMs/);
    const [whole] = await gateway.embed(['a'], { priority: BACKGROUND_PRIORITY_MAX });
    expect(whole).toMatchObject({ failure: undefined, vectors: [expect.anything()] });
    const hasty = (await open({ msPerInput: 100 }, {}, { backgroundTimeoutMs: 40 })).gateway;
    const ranked = await hasty.rerank({}, { priority: BACKGROUND_PRIORITY_MAX });
    expect(ranked.failure?.message).toMatch(/within 40 ms.* raise backgroundTimeoutMs/);
  });

  it('goes behind those for which somebody waits where nobody waits for it', async () => {
    const asked = Promise.withResolvers<void>();
    const { gateway, engine, vectors } = await open({ concurrentMax: 1, onInput: () => asked.promise });
    const texts = Array.from({ length: 60 }, (_, at) => `background ${at}`);
    const background = gateway.embed(texts, { priority: BACKGROUND_PRIORITY_MAX });
    await expect.poll(() => vectors.computed).toEqual(['background 0']);
    const awaited = gateway.embed(['first', 'second', 'third']);
    await expect.poll(() => engine.load()).toEqual({ running: 1, waiting: 1 });
    asked.resolve();
    await awaited;
    await background;
    expect(vectors.computed.slice(0, 5)).toEqual(['background 0', 'first', 'second', 'third', 'background 1']);
  });

  it('refuses more calls at a time than it may have, and says how many', async () => {
    const gate = Promise.withResolvers<string>();
    const { gateway } = await open({}, { detokenize: () => gate.promise });
    const calls = Array.from({ length: 260 }, () => gateway.detokenize({ tokens: [1] }));
    const refused = await Promise.race(calls);
    expect(refused.failure).toMatchObject({
      code: 'rate_limit_exceeded',
      message: expect.stringMatching(/256 calls .* 256 may/),
      retryAfterSeconds: 1,
    });
    gate.resolve('done');
    const texts = (await Promise.all(calls)).map(({ text }) => text);
    expect(texts.filter((text) => text === 'done')).toHaveLength(256);
    expect((await gateway.detokenize({ tokens: [1] })).text).toBe('done');
  });

  it('waits for calls when it drains, and takes no new ones', async () => {
    const gate = Promise.withResolvers<string>();
    const { gateway, test } = await open({}, { detokenize: () => gate.promise });
    const running = gateway.detokenize({ tokens: [1] });
    await gateway.describe();
    let drained = false;
    const draining = test.server.drain(10_000).then(() => {
      drained = true;
    });
    expect((await gateway.embed(['a']))[0]!.failure?.code).toBe('shutting_down');
    expect((await gateway.detokenize({ tokens: [1] })).failure?.code).toBe('shutting_down');
    expect(drained).toBe(false);
    gate.resolve('done');
    expect((await running).text).toBe('done');
    await draining;
  });

  it('hands back at once those that wait for their model when it drains', async () => {
    const { gateway, test } = await open();
    const use = Promise.withResolvers<never>();
    test.library.use = (_model, { signal }) => {
      signal.addEventListener('abort', () => use.reject(signal.reason));
      return use.promise;
    };
    const waiting = gateway.detokenize({ tokens: [1] });
    await gateway.describe();
    await test.server.drain(10_000);
    expect((await waiting).failure?.code).toBe('shutting_down');
  });

  it('gives calls up when draining takes too long', async () => {
    const { gateway, test } = await open({}, { detokenize: () => new Promise<never>(() => undefined) });
    const stuck = gateway.detokenize({ tokens: [1] });
    await gateway.describe();
    await test.server.drain(20);
    expect((await stuck).failure?.code).toBe('shutting_down');
  });

  it('passes on a refusal with the time to wait', async () => {
    const { gateway } = await open(
      {},
      {
        detokenize: async () => {
          throw new InferenceError('rate_limit_exceeded', 'Full.', { retryAfterSeconds: 4 });
        },
      },
    );
    expect((await gateway.detokenize({ tokens: [1] })).failure).toMatchObject({
      code: 'rate_limit_exceeded',
      message: 'Full.',
      retryAfterSeconds: 4,
    });
  });
});
