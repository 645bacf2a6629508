import { status } from '@grpc/grpc-js';
import { BACKGROUND_PRIORITY_MAX, InferenceError, PROTOCOL_VERSION } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { BatchingEngine } from '../batching/batching-engine.js';
import { NOBODY_OBSERVES } from '../batching/batching-observer.js';
import { ToldChat } from '../batching/told-chat.testing.js';
import { type Script, ScriptedTokenEngine } from '../token-engine/adapters/scripted/scripted-token-engine.js';
import { askHealth, openServer, SILENT, samplingMessage, TestGateway, type TestServer } from './serving.testing.js';
import { TellingEngine } from './telling-engine.testing.js';
import type { WorkerServerSettings } from './worker-server.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function scripted(script: Script = {}): { engine: BatchingEngine; tokenEngine: ScriptedTokenEngine } {
  const tokenEngine = new ScriptedTokenEngine(script);
  const engine = new BatchingEngine(tokenEngine, {
    model: {
      id: 'scripted',
      aliases: ['alias'],
      capabilities: ['chat', 'completion'],
      created: 7,
      samplingDefaults: { temperature: 0 },
      isDefault: true,
    },
    chat: new ToldChat(),
    samplingDefaults: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    maxTokensDefault: 500,
    limits: {
      maxBatchSize: 8,
      queueMax: 100,
      prefillChunkTokens: 64,
      backgroundSteps: 16,
      maxWaitMs: 0,
      priorityAgeingMs: 30_000,
      requestTimeoutMs: 60_000,
      backgroundTimeoutMs: 60_000,
      stallTimeoutMs: 60_000,
    },
    observer: NOBODY_OBSERVES,
    logger: SILENT,
    onBroken: () => undefined,
  });
  return { engine, tokenEngine };
}

async function open(
  script: Script = {},
  more: Partial<WorkerServerSettings> = {},
): Promise<{ test: TestServer; gateway: TestGateway; engine: BatchingEngine; tokenEngine: ScriptedTokenEngine }> {
  const { engine, tokenEngine } = scripted(script);
  const test = await openServer(engine, more);
  const gateway = new TestGateway(test.address);
  closing.push(test.close, () => gateway.close());
  gateway.hello();
  return { test, gateway, engine, tokenEngine };
}

describe('WorkerServer', () => {
  it('welcomes a gateway with what it serves', async () => {
    const { gateway } = await open();
    await expect.poll(() => gateway.framesOf('welcome')).toHaveLength(1);
    expect(gateway.framesOf('welcome')[0]).toMatchObject({
      protocolVersion: PROTOCOL_VERSION,
      worker: {
        state: 'ready',
        detail: '',
        models: [{ id: 'scripted', aliases: ['alias'], contextLength: 4096, engine: 'scripted 1', isDefault: true }],
        sequencesMax: 8,
        waitingMax: 100,
      },
    });
  });

  it('ends the stream of a gateway that speaks another version, with both versions', async () => {
    const { engine } = scripted();
    const test = await openServer(engine);
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    gateway.hello(1);
    await expect
      .poll(() => gateway.error)
      .toMatchObject({
        code: status.FAILED_PRECONDITION,
        details: expect.stringMatching(/version 1 .* version 4/),
      });
  });

  it('answers, in order, with begun and settled once', async () => {
    const { gateway } = await open({ says: (prompt) => `You said ${prompt}.` });
    gateway.start(1, { attempt: 3 });
    await expect.poll(() => gateway.settled(1)).toBeDefined();
    expect(gateway.text(1)).toBe('You said hello.');
    expect(gateway.settled(1)).toEqual({
      reason: 'stop',
      promptTokens: 5,
      completionTokens: 16,
      cachedTokens: 0,
      reasoningTokens: 0,
      failure: undefined,
      stopText: '',
    });
    const updates = gateway.updates(1);
    expect(updates[0]?.begun).toMatchObject({ promptTokens: 5 });
    expect(updates.filter(({ begun }) => begun)).toHaveLength(1);
    expect(updates.every(({ attempt }) => attempt === 3)).toBe(true);
    expect(updates.at(-1)?.settled).toBeDefined();
  });

  it('puts all tokens of a step into one frame', async () => {
    const joined = Promise.withResolvers<void>();
    const { gateway, engine } = await open({ msPerStep: 2, onStep: () => joined.promise });
    for (let id = 1; id <= 8; id++) gateway.start(id, { maxTokens: 30 });
    await expect.poll(() => engine.load().running + engine.load().waiting).toBe(8);
    joined.resolve();
    await expect.poll(() => [1, 2, 3, 4, 5, 6, 7, 8].every((id) => gateway.settled(id))).toBe(true);
    const full = gateway.framesOf('step').filter(({ updates }) => updates.length === 8);
    // Eight sequences of 30 tokens; those that were there first began one step before the others.
    expect(full.length).toBeGreaterThanOrEqual(29);
    expect(gateway.framesOf('step').length).toBeLessThanOrEqual(34);
  });

  it('serves a model by its alias, and says which one it has otherwise', async () => {
    const { gateway } = await open({ says: () => 'ok' });
    gateway.start(1, { model: 'alias' });
    gateway.start(2, { model: 'other' });
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    expect(gateway.settled(2)?.failure).toMatchObject({ code: 'model_not_found', param: 'model' });
  });

  it('sends no more tokens than there is credit for, and goes on when more comes', async () => {
    const { gateway, engine } = await open({ says: () => 'x'.repeat(100) });
    gateway.start(1, { creditTokens: 5 });
    gateway.start(2, { creditTokens: 1_000 });
    await expect.poll(() => gateway.settled(2)?.reason).toBe('stop');
    expect(gateway.tokens(1)).toHaveLength(5);
    expect(engine.load().running).toBe(1);
    gateway.credit(1, 3);
    await expect.poll(() => gateway.tokens(1).length).toBe(8);
    gateway.credit(1, 1_000);
    await expect.poll(() => gateway.settled(1)?.completionTokens).toBe(101);
    expect(gateway.text(1)).toBe('x'.repeat(100));
  });

  it('settles without further credit once all tokens are sent', async () => {
    const { gateway } = await open({ says: () => 'abc' });
    gateway.start(1, { creditTokens: 3 });
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
  });

  it('drops a sequence that stands without credit for too long', async () => {
    const { gateway, engine } = await open({}, { stallTimeoutMs: 50 });
    gateway.start(1, { creditTokens: 1 });
    await expect
      .poll(() => gateway.settled(1))
      .toMatchObject({
        reason: 'failed',
        failure: { code: 'client_closed_request' },
      });
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('ends an answer at its time limit, which is another where nobody waits for it', async () => {
    const { gateway } = await open({ msPerStep: 10 }, { requestTimeoutMs: 60 });
    gateway.start(1, { deadlineMs: 100_000, maxTokens: 12 });
    await expect.poll(() => gateway.settled(1)?.failure?.code).toBe('deadline_exceeded');
    gateway.start(2, { deadlineMs: 100_000, maxTokens: 12, priority: BACKGROUND_PRIORITY_MAX });
    await expect.poll(() => gateway.settled(2)).toMatchObject({ reason: 'length', completionTokens: 12 });
  });

  it('cancels: the place is free, and settled says cancelled once', async () => {
    const { gateway, engine } = await open({ msPerStep: 1 });
    gateway.start(1);
    await expect.poll(() => gateway.tokens(1).length).toBeGreaterThan(0);
    gateway.cancel(1);
    gateway.cancel(1);
    gateway.cancel(99);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('cancelled');
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
    expect(gateway.updates(1).filter(({ settled }) => settled)).toHaveLength(1);
    expect(gateway.settled(1)?.completionTokens).toBe(gateway.tokens(1).length);
  });

  it('cancels every sequence of a stream that breaks', async () => {
    const { gateway, engine, test } = await open({ msPerStep: 1 });
    for (let id = 1; id <= 20; id++) gateway.start(id);
    await expect.poll(() => engine.load().running).toBe(8);
    gateway.stream.cancel();
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
    const other = new TestGateway(test.address);
    closing.push(() => other.close());
    other.hello();
    other.start(1, { maxTokens: 2 });
    await expect.poll(() => other.settled(1)?.reason).toBe('length');
  });

  it('leaves nothing running when gateways cancel and vanish at random', async () => {
    const { test, engine, gateway: other } = await open({ msPerStep: 1 });
    const gateways = Array.from({ length: 5 }, () => new TestGateway(test.address));
    closing.push(() => {
      for (const gateway of gateways) gateway.close();
    });
    for (const gateway of gateways) {
      gateway.hello();
      for (let id = 1; id <= 20; id++) gateway.start(id, { maxTokens: 400, creditTokens: 1 + ((id * 7) % 50) });
    }
    // None has the credit to end by itself.
    await expect.poll(() => engine.load().running).toBeGreaterThan(0);
    for (const [which, gateway] of gateways.entries()) {
      for (let id = 1; id <= 20; id++) setTimeout(() => gateway.cancel(id), (id * 37 + which * 11) % 150);
    }
    setTimeout(() => gateways[0]?.stream.cancel(), 40);
    setTimeout(() => gateways[1]?.close(), 60);
    await new Promise((resolve) => setTimeout(resolve, 160));
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
    for (let id = 1; id <= 8; id++) other.start(id, { maxTokens: 2 });
    for (let id = 1; id <= 8; id++) await expect.poll(() => other.settled(id)?.reason).toBe('length');
    for (const gateway of gateways.slice(2)) {
      for (let id = 1; id <= 20; id++) {
        expect(gateway.updates(id).filter(({ settled }) => settled)).toHaveLength(1);
      }
    }
  });

  it("keeps the caller's trace in what it logs of a sequence", async () => {
    const lines: string[] = [];
    const logger = createLogger(
      { name: 'test', level: 'debug', format: 'json' },
      { write: (line) => void lines.push(line) },
    );
    const { engine } = scripted({ says: () => 'ok' });
    const test = await openServer(engine, {}, undefined, logger);
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    gateway.hello();
    gateway.start(1, { traceparent });
    await expect.poll(() => gateway.settled(1)).toBeDefined();
    const line = lines.map((text) => JSON.parse(text)).find(({ requestId }) => requestId === 'request-1');
    expect(line).toMatchObject({ traceparent, reason: 'stop', gateway: 'test', completionTokens: 3 });
  });

  it('resumes after tokens that another attempt delivered', async () => {
    const { gateway } = await open({ says: () => 'abcdef' });
    gateway.start(1, { attempt: 2, resumeTokenIds: [...Buffer.from('abc')], resumeText: 'abc' });
    await expect.poll(() => gateway.settled(1)?.completionTokens).toBe(7);
    expect(gateway.text(1)).toBe('def');
  });

  it('gives several answers to one prompt, and reads it once for all of them', async () => {
    const { gateway } = await open({ msPerStep: 1 });
    const siblings = [2, 3, 4].map((sequenceId) => ({ sequenceId, seed: undefined }));
    const prompt = { $case: 'text', value: 'once upon a time '.repeat(20) } as const;
    gateway.start(1, { prompt, siblings, maxTokens: 12, sampling: samplingMessage({ temperature: 1 }) });
    const ids = [1, 2, 3, 4];
    await expect.poll(() => ids.every((id) => gateway.settled(id))).toBe(true);
    const settled = ids.map((id) => gateway.settled(id)!);
    expect(settled.map(({ reason, completionTokens }) => [reason, completionTokens])).toEqual(
      ids.map(() => ['length', 12]),
    );
    expect(new Set(ids.map((id) => gateway.text(id))).size).toBe(4);
    const read = settled.reduce((sum, { promptTokens, cachedTokens }) => sum + promptTokens - cachedTokens, 0);
    expect(read).toBeLessThan(2 * settled[0]!.promptTokens);
  });

  it('tells what it thought of each token, and says the prompt again, when asked', async () => {
    const { gateway } = await open({ says: () => 'abc' });
    gateway.start(1, { echo: true, logprobs: 2 });
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    const updates = gateway.updates(1);
    const echo = updates.flatMap((update) => update.echo ?? []);
    expect(echo.map(({ text }) => text).join('')).toBe('hello');
    expect(echo.flatMap(({ logprobs }) => logprobs)).toHaveLength(5);
    const logprobs = updates.flatMap((update) => update.logprobs);
    expect(Buffer.concat(logprobs.map(({ spelling }) => spelling)).toString()).toBe('abc');
    for (const { top } of logprobs) expect(top).toHaveLength(2);
  });

  it('fails a sequence with bad values, by name, and no other', async () => {
    const { gateway } = await open({ says: () => 'ok' });
    gateway.start(1, { sampling: samplingMessage({ temperature: Number.NaN }) });
    gateway.start(2, { prompt: { $case: 'tokens', value: { ids: [4_000_000_000] } } });
    gateway.start(3, { resumeTokenIds: [4_000_000_000] });
    gateway.start(4);
    await expect.poll(() => gateway.settled(4)?.reason).toBe('stop');
    const failures = [1, 2, 3].map((id) => gateway.settled(id)?.failure);
    expect(failures.map((failure) => [failure?.code, failure?.param])).toEqual([
      ['invalid_request', 'temperature'],
      ['invalid_request', 'prompt'],
      // Of a model with another vocabulary: what it means is that this worker can't go on.
      ['answer_broken_off', ''],
    ]);
  });

  it('fails a sequence that was started without credit', async () => {
    const { gateway } = await open();
    gateway.start(1, { creditTokens: 0 });
    await expect.poll(() => gateway.settled(1)?.failure?.code).toBe('internal_error');
  });

  it('ends the stream of a gateway that breaks the protocol, and lives on', async () => {
    const misuses: [string, (gateway: TestGateway) => void, number][] = [
      ['Start before Hello', (gateway) => gateway.start(1), status.FAILED_PRECONDITION],
      ['an empty frame', (gateway) => gateway.stream.write({ frame: undefined }), status.FAILED_PRECONDITION],
      ['Hello twice', (gateway) => [gateway.hello(), gateway.hello()], status.INVALID_ARGUMENT],
      [
        'a sequence started twice',
        (gateway) => [gateway.hello(), gateway.start(1), gateway.start(1)],
        status.INVALID_ARGUMENT,
      ],
    ];
    const { test, engine } = await open({ msPerStep: 1 });
    for (const [what, misuse, code] of misuses) {
      const gateway = new TestGateway(test.address);
      closing.push(() => gateway.close());
      misuse(gateway);
      await expect.poll(() => gateway.error?.code, { message: what }).toBe(code);
    }
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('takes a request of 16 MiB', async () => {
    const { gateway } = await open();
    gateway.start(1, { prompt: { $case: 'text', value: 'x'.repeat(16 * 1024 * 1024) } });
    await expect.poll(() => gateway.settled(1)?.failure?.code, { timeout: 5_000 }).toBe('context_length_exceeded');
  });

  it('pauses the sequences of a gateway that does not read, and loses none of their tokens', async () => {
    const { gateway, tokenEngine, engine } = await open({ contextLength: 100_000, says: () => 'x'.repeat(4_000) });
    gateway.stream.pause();
    const ids = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const id of ids) gateway.start(id, { maxTokens: 5_000, creditTokens: 1_000_000 });
    const held = () => ids.map((id) => tokenEngine.heldBy(id - 1));
    await expect.poll(() => engine.load().running).toBe(8);
    let before: number[];
    do {
      before = held();
      await new Promise((resolve) => setTimeout(resolve, 100));
    } while (held().some((count, place) => count !== before[place]));
    expect(engine.load().running).toBe(8);
    gateway.stream.resume();
    await expect
      .poll(() => ids.map((id) => gateway.settled(id)?.completionTokens), { timeout: 10_000 })
      .toEqual(ids.map(() => 4_001));
    for (const id of ids) expect(gateway.text(id)).toBe('x'.repeat(4_000));
  });

  it('reports the load when it changes, and once a second as a heartbeat', async () => {
    const { gateway } = await open({ msPerStep: 5 });
    gateway.start(1, { maxTokens: 60 });
    await expect.poll(() => gateway.framesOf('load').map(({ running }) => running)).toContain(1);
    await expect.poll(() => gateway.framesOf('load').at(-1)?.running, { timeout: 3_000 }).toBe(0);
    const soFar = gateway.framesOf('load').length;
    await expect.poll(() => gateway.framesOf('load').length, { timeout: 3_000 }).toBeGreaterThan(soFar);
  });

  it('says how far loading is, and answers once the model is loaded who asked before', async () => {
    const loading = Promise.withResolvers<void>();
    const { engine } = scripted({ says: () => 'ok' });
    const test = await openServer(engine, {}, () => loading.promise);
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    gateway.hello();
    gateway.start(1);
    await expect.poll(async () => (await gateway.describe()).load?.waiting).toBe(1);
    expect(await askHealth(test.address)).toBe('NOT_SERVING');
    expect(await gateway.describe()).toMatchObject({
      state: 'loading',
      detail: 'The weights are being read.',
      models: [{ id: 'scripted', state: 'loading', detail: 'The weights are being read.' }],
    });
    loading.resolve();
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    expect(await gateway.describe()).toMatchObject({ state: 'ready', detail: '', models: [{ state: 'loaded' }] });
    expect(await askHealth(test.address)).toBe('SERVING');
  });

  it('cancels and gives up those who wait for a model, each by itself', async () => {
    const { engine } = scripted();
    const loading = Promise.withResolvers<void>();
    const test = await openServer(engine, {}, () => loading.promise);
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    gateway.hello();
    gateway.start(1, { siblings: [{ sequenceId: 2, seed: undefined }] });
    gateway.start(3, { deadlineMs: 30 });
    gateway.start(4);
    await expect.poll(() => gateway.settled(3)?.failure?.code).toBe('deadline_exceeded');
    expect(gateway.settled(3)?.failure?.message).toContain('was not loaded within 30 ms. The weights are being read.');
    await expect.poll(() => test.library.engineLoad.waiting).toBe(2);
    gateway.cancel(1);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('cancelled');
    // Its sibling waits on, with what they share.
    expect(test.library.engineLoad.waiting).toBe(2);
    gateway.cancel(2);
    await expect.poll(() => gateway.settled(2)?.reason).toBe('cancelled');
    await expect.poll(() => test.library.engineLoad.waiting).toBe(1);
    await test.server.drain(20);
    await expect.poll(() => gateway.settled(4)?.failure?.code).toBe('shutting_down');
    loading.resolve();
  });

  it('loads a model on first use, and tells every gateway when models change', async () => {
    const { engine } = scripted({ says: () => 'ok' });
    const late = new TellingEngine({ tokenize: async () => ({ tokens: [1], pieces: [] }) }, 'late');
    const test = await openServer(engine, {}, undefined, SILENT, [], [late]);
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    gateway.hello();
    await expect
      .poll(() => gateway.framesOf('welcome')[0]?.worker?.models.map(({ state }) => state))
      .toEqual(['loaded', 'idle']);
    expect((await gateway.tokenize({ prompt: { $case: 'text', value: 'a' } }, { model: 'late' })).tokens).toEqual([1]);
    await expect
      .poll(() =>
        gateway
          .framesOf('worker')
          .at(-1)
          ?.models.map(({ state }) => state),
      )
      .toEqual(['loaded', 'loaded']);
  });

  it('tells of models at most four times a second, and last how things stand', async () => {
    const { gateway, test } = await open();
    await expect.poll(() => gateway.framesOf('welcome').length).toBe(1);
    for (let change = 0; change < 200; change++) test.server.noteModels();
    await new Promise((resolve) => setTimeout(resolve, 600));
    const told = gateway.framesOf('worker').length;
    expect(told).toBeGreaterThanOrEqual(1);
    expect(told).toBeLessThanOrEqual(3);
  });

  it('holds a model with one lease for all answers of a request, until the last is settled', async () => {
    const looked = Promise.withResolvers<void>();
    let steps = 0;
    const { gateway, test } = await open({ onStep: () => (++steps > 20 ? looked.promise : undefined) });
    let held = 0;
    const use = test.library.use.bind(test.library);
    test.library.use = async (name, terms) => {
      const lease = await use(name, terms);
      held++;
      return {
        engine: lease.engine,
        [Symbol.dispose]: () => {
          held--;
          lease[Symbol.dispose]();
        },
      };
    };
    gateway.start(1, { maxTokens: 200, siblings: [{ sequenceId: 2, seed: undefined }] });
    await expect.poll(() => gateway.tokens(2).length).toBeGreaterThan(0);
    expect(held).toBe(1);
    looked.resolve();
    gateway.cancel(1);
    await expect.poll(() => gateway.settled(1)?.reason).toBeDefined();
    await expect.poll(() => gateway.settled(2)?.reason).toBe('length');
    await expect.poll(() => held).toBe(0);
    gateway.start(3, { model: 'scripted', maxTokens: 0 });
    await expect.poll(() => gateway.settled(3)?.failure?.code).toBe('invalid_request');
    expect(held).toBe(0);
  });

  it('says why loading failed', async () => {
    const { engine } = scripted();
    closing.push(() => engine.close());
    const test = await openServer(engine, {}, async () => {
      throw new Error('The file is broken. Copy it again.');
    });
    const gateway = new TestGateway(test.address);
    closing.push(test.close, () => gateway.close());
    await expect.poll(async () => (await gateway.describe()).detail).toMatch(/can't be loaded: The file is broken/);
  });

  it('drains: finishes what runs, refuses what comes, and says so', async () => {
    const { gateway, test } = await open({ msPerStep: 2 });
    gateway.start(1, { maxTokens: 50 });
    await expect.poll(() => gateway.tokens(1).length).toBeGreaterThan(0);
    const drained = test.server.drain(10_000);
    gateway.start(2);
    await expect.poll(() => gateway.settled(2)?.failure?.code).toBe('shutting_down');
    await drained;
    expect(await askHealth(test.address)).toBe('NOT_SERVING');
    expect((await gateway.describe()).state).toBe('draining');
    expect(gateway.framesOf('load').at(-1)?.draining).toBe(true);
    await test.server.close();
    await expect.poll(() => gateway.settled(1)?.reason).toBe('length');
    await expect.poll(() => gateway.ended).toBe(true);
  });

  it('drains: hands back at once what has not begun, unless another answer to the same request has', async () => {
    const drains = Promise.withResolvers<void>();
    let fullSteps = 0;
    const { gateway, test } = await open({
      msPerStep: 2,
      onStep: ({ length }) => (length === 8 && ++fullSteps > 2 ? drains.promise : undefined),
    });
    for (let id = 1; id <= 7; id++) gateway.start(id);
    // The last place is for one of the two.
    gateway.start(8, { siblings: [{ sequenceId: 9, seed: undefined }] });
    gateway.start(10, { siblings: [{ sequenceId: 11, seed: undefined }] });
    await expect.poll(() => gateway.tokens(8).length).toBeGreaterThan(0);
    await expect.poll(() => test.library.engineLoad).toMatchObject({ running: 8, waiting: 3 });
    const drained = test.server.drain(10_000);
    await expect
      .poll(() => [10, 11].map((id) => gateway.settled(id)?.failure?.code))
      .toEqual(Array(2).fill('shutting_down'));
    expect(gateway.settled(1)).toBeUndefined();
    expect(gateway.settled(9)).toBeUndefined();
    drains.resolve();
    await drained;
    await expect.poll(() => [1, 8, 9].map((id) => gateway.settled(id)?.reason)).toEqual(Array(3).fill('length'));
  });

  it('gives up what is not settled when draining takes too long', async () => {
    const { gateway, test } = await open({ msPerStep: 2 });
    gateway.start(1);
    await expect.poll(() => gateway.tokens(1).length).toBeGreaterThan(0);
    await test.server.drain(20);
    await expect.poll(() => gateway.settled(1)?.failure?.code).toBe('shutting_down');
  });

  it('says in a sentence that its port is in use', async () => {
    const { test } = await open();
    const { engine } = scripted();
    closing.push(() => engine.close());
    const port = Number(test.address.split(':')[1]);
    await expect(openServer(engine, { workerPort: port })).rejects.toThrow(
      `The worker can't listen on 127.0.0.1:${port}: the port is in use. Stop what uses it, or choose another with --worker-port.`,
    );
  });

  it('shows nothing of an unforeseen failure', async () => {
    const { gateway, engine } = await open();
    engine.answer = () => {
      throw new TypeError('secret of our inside');
    };
    gateway.start(1);
    await expect.poll(() => gateway.settled(1)?.failure?.code).toBe('internal_error');
    expect(gateway.settled(1)?.failure?.message).not.toContain('secret');
    engine.answer = () => {
      throw new InferenceError('rate_limit_exceeded', 'Full.', { retryAfterSeconds: 4, limit: 'upstream' });
    };
    gateway.start(2);
    await expect
      .poll(() => gateway.settled(2)?.failure)
      .toMatchObject({
        code: 'rate_limit_exceeded',
        message: 'Full.',
        retryAfterSeconds: 4,
        limit: 'upstream',
      });
  });
});
