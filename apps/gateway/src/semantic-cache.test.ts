import { modelsFileSchema } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import { fixedModels } from './routing/models-in-force.js';
import { MemoryVectors } from './stores/memory-vectors.testing.js';
import { ANYONE } from './vocabulary.js';

const VECTORS = { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8, contextLength: 512 };
const models = [{ id: 'demo', isDefault: true }, VECTORS];

/** A gateway whose vectors take all questions for the same: nothing but the guard tells them apart. */
async function bedWith(
  settings: Parameters<typeof TestBed.start>[0] = {},
  worker: FakeWorkerOptions = {},
  semantic = false,
) {
  const vectors = new MemoryVectors(() => 1);
  const bed = await TestBed.start(settings, [{ models, ...worker }], true, '127.0.0.1', {
    responseCache: new MemoryResponseCache({ bytesMax: 16 * 1024 * 1024, ageMsMax: 60_000 }),
    vectors,
    authenticator: { ...EVERYBODY, authenticate: (key) => ({ ...ANYONE, keyId: key }) },
    models: fixedModels(modelsFileSchema.parse({ models: [{ id: 'demo', path: 'demo.gguf', cache: { semantic } }] })),
  });
  const ask = (
    question: string,
    { key = 'a', cache = semantic ? null : 'semantic', ...more }: Record<string, unknown> = {},
  ) =>
    bed.post(
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: question }], temperature: 0, ...more },
      {
        headers: {
          authorization: `Bearer ${key as string}`,
          ...(cache !== null && { 'x-millrace-cache': cache as string }),
        },
      },
    );
  const told = async (...asked: Parameters<typeof ask>) => {
    const response = await ask(...asked);
    expect(response.status).toBe(200);
    await response.text();
    return response.headers.get('x-millrace-cache');
  };
  const size = () => [...vectors.collections.values()].reduce((sum, { points }) => sum + points.size, 0);
  const noted = (count: number) => expect.poll(size).toBe(count);
  return { bed, vectors, ask, told, noted, [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose]() };
}

describe('a question that means the same as one that was answered', () => {
  it('has its answer, whole or streamed, without running, and with an id of its own', async () => {
    await using it = await bedWith();
    const first = (await (await it.ask('What is the word?')).json()) as { id: string; choices: object[] };
    await it.noted(1);
    const response = await it.ask("what's the word");
    expect(response.headers.get('x-millrace-cache')).toBe('hit');
    const second = (await response.json()) as { id: string; choices: object[] };
    expect(second.choices).toEqual(first.choices);
    expect(second.id).not.toBe(first.id);
    const events = await eventsOf(await it.ask('what is the word', { stream: true }));
    expect(events.join('')).toContain('word');
    expect(it.bed.worker.started).toHaveLength(1);
  });

  it('has none of another key', async () => {
    await using it = await bedWith();
    await it.told('What is it?', { key: 'a' });
    await it.noted(1);
    expect(await it.told('what is it', { key: 'b' })).toBe('miss');
    expect(await it.told('what is it', { key: 'a' })).toBe('hit');
  });

  it('is judged by itself where it is moderated, whatever the model tells of chances', async () => {
    await using it = await bedWith(
      {},
      {
        script: ({ logprobs }) =>
          logprobs === undefined
            ? { answer: ['safe'] }
            : { failure: { code: 'unsupported_parameter', message: '`logprobs` are not told.', param: 'logprobs' } },
      },
    );
    const judge = async (input: string) => {
      const headers = { 'x-millrace-cache': 'semantic' };
      const response = await it.bed.post('/v1/moderations', { model: 'demo', input }, { headers });
      expect(response.status).toBe(200);
      await response.text();
      return response.headers.get('x-millrace-cache');
    };
    expect(await judge('What is the word?')).toBe('miss');
    expect(await judge("what's the word")).toBe('miss');
    expect(await judge('What is the word?')).toBe('hit');
  });

  it('has one only where it is asked for, by the request or for its model', async () => {
    await using it = await bedWith();
    await it.told('What is it?');
    await it.noted(1);
    expect(await it.told('what is it', { cache: null })).toBe('miss');
    expect(await it.told('What is it', { cache: 'on' })).toBe('miss');
    expect(await it.told('what is it?', { cache: 'refresh' })).toBe('miss');
    await using always = await bedWith({}, {}, true);
    await always.told('What is it?');
    await always.noted(1);
    expect(await always.told('what is it')).toBe('hit');
    expect(await always.told('What is that?', { cache: 'off' })).toBeNull();
  });

  it('that is only like it has none, however alike the vectors are', async () => {
    await using it = await bedWith();
    await it.told('is 3 > 2');
    await it.noted(1);
    expect(await it.told('is 3 < 2')).toBe('miss');
    expect(await it.told('is 3 > 2', { max_tokens: 3 })).toBe('miss');
    expect(it.bed.worker.started).toHaveLength(3);
  });
});

describe('what can go wrong while questions are compared', () => {
  it('costs no request: a store that is away, or says nothing', async () => {
    await using it = await bedWith({ semanticCacheTimeoutMs: 50 });
    await it.told('What is it?');
    await it.noted(1);
    it.vectors.mishap = 'silent';
    expect(await it.told('what is it')).toBe('miss');
    it.vectors.mishap = 'away';
    expect(await it.told('what is  it')).toBe('miss');
    expect(it.bed.log.filter(({ msg }) => String(msg).startsWith('Questions can not be compared'))).toHaveLength(1);
  });

  it.each<[string, FakeWorkerOptions]>([
    ['says nothing', { work: () => ({ silent: true }) }],
    ['fails', { work: () => ({ failure: { code: 'internal_error', message: 'It broke.' } }) }],
    ['sends no vector', { work: () => ({ tooFew: true }) }],
    ['has no embedding model', { models: [{ id: 'demo', isDefault: true }] }],
    ['has two embedding models, and none is named', { models: [...models, { ...VECTORS, id: 'more' }] }],
  ])('costs no request: a worker that %s', async (_what, worker) => {
    await using it = await bedWith({ semanticCacheTimeoutMs: 50 }, worker);
    expect(await it.told('What is it?')).toBe('miss');
    expect(await it.told('what is it')).toBe('miss');
    expect(it.vectors.collections.size).toBe(0);
  });

  it('is settled by semanticCacheModel where there are several embedding models', async () => {
    const worker = { models: [...models, { ...VECTORS, id: 'more' }] };
    await using it = await bedWith({ semanticCacheModel: 'more' }, worker);
    await it.told('What is it?');
    await it.noted(1);
    expect(it.bed.worker.work.asked).toMatchObject([{ heading: { model: 'more' } }]);
    expect(await it.told('what is it')).toBe('hit');
  });
});

describe('a gateway in which nobody asks for it', () => {
  it('makes no vector and opens no store', async () => {
    await using it = await bedWith();
    expect(await it.told('What is it?', { cache: null })).toBe('miss');
    expect(await it.told('What is it?', { cache: null })).toBe('hit');
    expect(it.bed.worker.work.asked).toEqual([]);
    expect(it.vectors.asked).toBe(0);
  });
});
