import { InferenceError } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { MemoryResponses } from '../responses/memory-responses.testing.js';
import type { Call, SequenceEvent } from '../vocabulary.js';
import { ANYONE } from '../vocabulary.js';
import type { CompleteChat } from './complete-chat.js';
import { Respond } from './respond.js';
import { newResponseIds } from './response-body.js';
import { ResponseInputs } from './response-input.js';
import type { SearchFiles } from './search-files.js';

const model = { id: 'demo', samplingDefaults: {} };
const call = {
  caller: ANYONE,
  requestId: 'r',
  clientLeft: new AbortController().signal,
  notOurs: () => {},
} as never as Call;
const begun: SequenceEvent = { kind: 'begun', index: 0, promptTokens: 3, cachedTokens: 0, waitedMs: 0 };
const text: SequenceEvent = { kind: 'tokens', index: 0, tokens: [1], text: 'Four.' };
const usage = { promptTokens: 3, completionTokens: 2, cachedTokens: 0 };
const finished: SequenceEvent = { kind: 'finished', index: 0, reason: 'stop', usage };

/** A chat that lets everybody in, and gives these events. */
function respondWith(events: readonly (SequenceEvent | Error)[], store = new MemoryResponses(), keepWaitMs = 1_000) {
  let open = 0;
  const done: number[] = [];
  const chat: Pick<CompleteChat, 'enter' | 'generate'> = {
    enter: async (_call, parse) => {
      const models = { route: () => ({ model, fallbacks: [] }), capsOf: () => ({}) } as never;
      const request = await parse(models);
      open++;
      const record = { answeredBy: model, fail: () => {}, done: (tokens: number) => done.push(tokens) };
      return { request, record, [Symbol.dispose]: () => open-- } as never;
    },
    async *generate(entered) {
      using _leaving = entered;
      for (const event of events) {
        if (event instanceof Error) throw event;
        yield event;
      }
    },
  };
  const lines: string[] = [];
  const logger = createLogger(
    { name: 'gateway', level: 'debug', format: 'json' },
    { write: (line) => void lines.push(line) },
  );
  const files: Pick<SearchFiles, 'check' | 'run'> = { check: async () => {}, run: async () => [] };
  const respond = new Respond(chat, new ResponseInputs(store), files, store, logger, keepWaitMs);
  return { respond, store, files, lines, done, open: () => open };
}

const input = 'How high?';

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe('a response in the background', () => {
  const ids = newResponseIds();

  it('is valid and queued before anybody works on it', async () => {
    const { respond, store, done, open } = respondWith([]);
    store.conversations.set('conv_1', []);
    const body = { input, background: true, conversation: 'conv_1' };
    expect(await respond.accept(body, call, ids)).toMatchObject({
      response: { id: ids.id, created_at: ids.createdAt, status: 'queued', background: true, output: [], usage: null },
      input: [{ id: expect.stringMatching(/^msg_/), role: 'user' }],
    });
    expect({ done, open: open(), held: store.held.size, kept: store.kept }).toEqual({
      done: [0],
      open: 0,
      held: 0,
      kept: [],
    });
    await expect(respond.accept({ ...body, tools: 7 }, call, ids)).rejects.toMatchObject({
      details: { param: 'tools' },
    });
  });

  it('is told under the id that it has, and kept by whoever asked for it', async () => {
    const { respond, store } = respondWith([begun, text, finished]);
    const events = (await allOf(respond.produce({ input, background: true }, call, ids))).flat();
    expect(events[0]).toMatchObject({ type: 'response.created', response: { id: ids.id, status: 'in_progress' } });
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { id: ids.id, background: true } });
    expect(store.kept).toEqual([]);
  });

  it('fails with events once something was told, and with an error before', async () => {
    const late = respondWith([begun, text, new Error('broken')]);
    const events = (await allOf(late.respond.produce({ input, background: true }, call, ids))).flat();
    expect(events.at(-1)).toMatchObject({ type: 'response.failed', response: { error: { code: 'server_error' } } });
    expect(JSON.stringify(events)).not.toContain('broken');
    const early = respondWith([new Error('broken')]);
    await expect(allOf(early.respond.produce({ input }, call, ids))).rejects.toThrow('broken');
  });

  it('is refused where somebody waits for it', async () => {
    const { respond, open } = respondWith([]);
    await expect(respond.run({ input, background: true }, call)).rejects.toMatchObject({
      code: 'unsupported_parameter',
      details: { param: 'background' },
    });
    expect(open()).toBe(0);
  });
});

describe('a response whose search fails', () => {
  const search: SequenceEvent = {
    ...{ kind: 'tokens', index: 0, tokens: [1], text: '' },
    calls: [{ index: 0, name: 'file_search', arguments: '{"queries":["tides"]}' }],
  };
  const body = { input, tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] };

  it('fails as a whole: what the model would say without the files was not asked for', async () => {
    const { respond, files, store, open } = respondWith([begun, search, finished]);
    files.run = () => Promise.reject(new InferenceError('store_unavailable', 'The database is away.'));
    await expect(respond.run(body, call)).rejects.toMatchObject({ code: 'store_unavailable' });
    const answer = await respond.run({ ...body, stream: true }, call);
    const events = (await allOf((answer as Extract<typeof answer, { kind: 'stream' }>).chunks)).flat();
    expect(events.slice(-3)).toMatchObject([
      { type: 'response.output_item.done', item: { type: 'file_search_call', status: 'incomplete' } },
      { type: 'error', code: 'store_unavailable' },
      { type: 'response.failed' },
    ]);
    expect({ open: open(), kept: store.kept.length }).toEqual({ open: 0, kept: 1 });
  });
});

describe('a response that is to be kept', () => {
  it('holds no place while it is', async () => {
    const store = new MemoryResponses();
    const { respond, open } = respondWith([begun, text, finished], store);
    const keep = store.keep.bind(store);
    store.keep = async (owner, kept) => {
      expect(open()).toBe(0);
      await keep(owner, kept);
    };
    expect(await respond.run({ input }, call)).toMatchObject({ body: { status: 'completed', store: true } });
    expect(store.kept).toHaveLength(1);
  });

  it('is not waited for without end', async () => {
    const store = new MemoryResponses();
    store.keep = (_owner: unknown, _kept: unknown, signal?: AbortSignal) =>
      new Promise<void>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    const { respond, lines } = respondWith([begun, text, finished], store, 10);
    expect(await respond.run({ input }, call)).toMatchObject({ body: { status: 'completed', store: false } });
    expect(lines.join()).toContain('not kept within 10 ms');
  });

  it('has no more log-probabilities than fit into memory, though it is streamed: its end has all of them', async () => {
    const chance = { token: 1, bytes: new Uint8Array([65]), logprob: -1 };
    const many = { ...text, logprobs: [{ ...chance, top: new Array<typeof chance>(250_000).fill(chance) }] };
    const { respond } = respondWith([begun, many, finished]);
    const body = { input, stream: true, top_logprobs: 20 };
    const answer = await respond.run(body, call);
    const events = (await allOf((answer as Extract<typeof answer, { kind: 'stream' }>).chunks)).flat();
    expect(events.at(-2)).toMatchObject({
      type: 'error',
      code: 'invalid_request',
      param: 'top_logprobs',
      message: expect.stringContaining('Ask for fewer tokens or log-probabilities.'),
    });
  });

  it('is nothing where it ended without an end', async () => {
    const { respond, store } = respondWith([begun, text]);
    await expect(respond.run({ input }, call)).rejects.toMatchObject({ code: 'internal_error' });
    expect(store.kept).toEqual([]);
  });
});
