import { InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import type { ResponseCache } from './cache/response-cache.js';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import type { Parts } from './open-parts.js';
import { ANYONE } from './vocabulary.js';

const greedy = { temperature: 0 };
const MEMORY = { bytesMax: 16 * 1024 * 1024, ageMsMax: 60_000 };

/** A gateway that keeps answers. */
function bedWith(
  settings: Parameters<typeof TestBed.start>[0] = {},
  workers: readonly FakeWorkerOptions[] = [{}],
  parts: Partial<Parts> = {},
): Promise<TestBed> {
  const responseCache = new MemoryResponseCache(MEMORY);
  return TestBed.start(settings, workers, true, '127.0.0.1', { responseCache, ...parts });
}

const told = (response: Response) => response.headers.get('x-millrace-cache');
const header = (value: string) => ({ headers: { 'x-millrace-cache': value } });
/** As much of an answer, or of a chunk, as is looked at. */
interface Answered {
  readonly id: string;
  readonly created: number;
  readonly usage: object;
  readonly choices: readonly { readonly message: { content: string }; readonly delta: { content?: string } }[];
}
async function chunksOf(response: Response): Promise<Answered[]> {
  const events = await eventsOf(response);
  expect(events.at(-1)).toBe('data: [DONE]');
  return events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)));
}
const textOf = (chunks: readonly Answered[]) => chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
const body = async (response: Response) => (await response.json()) as Answered;

describe('the same repeatable request', () => {
  it('is answered from the cache, as it was, with an id of its own', async () => {
    await using bed = await bedWith();
    const [first, second] = [await bed.chat(greedy), await bed.chat(greedy)];
    expect([told(first), told(second)]).toEqual(['miss', 'hit']);
    const [{ id, created, ...answer }, { id: otherId, created: _, ...again }] = [await body(first), await body(second)];
    expect(again).toEqual(answer);
    expect(otherId).toMatch(/^chatcmpl-/);
    expect(otherId).not.toBe(id);
    expect(created).toBeGreaterThan(1_700_000_000);
    expect(bed.worker.started).toHaveLength(1);
  });

  it('is answered whole from what was streamed, and streamed from what was whole', async () => {
    await using bed = await bedWith();
    const streamed = { ...greedy, stream: true, stream_options: { include_usage: true } };
    const first = await bed.chat(streamed);
    const chunks = await chunksOf(first);
    const whole = await bed.chat(greedy);
    const again = await bed.chat(streamed);
    expect([first, whole, again].map(told)).toEqual(['miss', 'hit', 'hit']);
    expect((await body(whole)).choices[0]).toMatchObject({
      message: { content: 'one two three' },
      finish_reason: 'stop',
    });
    const replayed = await chunksOf(again);
    expect(textOf(replayed)).toBe(textOf(chunks));
    expect(replayed[0]).toMatchObject({ choices: [{ delta: { role: 'assistant', content: '' } }] });
    expect(replayed.at(-1)!.usage).toEqual(chunks.at(-1)!.usage);
    expect(replayed.at(-2)).toMatchObject({ choices: [{ delta: {}, finish_reason: 'stop' }] });
    expect(new Set(replayed.map(({ id }) => id)).size).toBe(1);
    expect(replayed[0]!.id).not.toBe(chunks[0]!.id);
    expect(bed.worker.started).toHaveLength(1);
  });

  it('has its tool calls, log-probabilities and answers in full, calls with ids of their own', async () => {
    const script = () => ({
      answer: [
        { reasoning: 'thought ' },
        'text ',
        { calls: [{ index: 0, name: 'f', argumentsJson: '{"a":' }] },
        { calls: [{ index: 0, name: '', argumentsJson: '1}' }] },
      ] as never[],
      reason: 'tool_calls' as const,
    });
    await using bed = await bedWith({}, [{ script }]);
    const asked = { ...greedy, n: 2, tools: [{ type: 'function', function: { name: 'f' } }] };
    const [first, second] = [await body(await bed.chat(asked)), await body(await bed.chat(asked))];
    const withoutIds = (answer: object) => JSON.stringify(answer).replaceAll(/"(id|created)":("[^"]*"|\d+)/g, '""');
    expect(withoutIds(second)).toBe(withoutIds(first));
    expect(second.choices).toHaveLength(2);
    expect(bed.worker.started).toHaveLength(1);
  });

  it('is another with any other parameter, model or text', async () => {
    await using bed = await bedWith();
    const others = [
      greedy,
      { ...greedy, seed: 1 },
      { ...greedy, max_tokens: 2 },
      { ...greedy, stop: 'x' },
      { ...greedy, n: 2 },
      { ...greedy, logprobs: true },
      { ...greedy, logprobs: true, top_logprobs: 2 },
      { ...greedy, messages: [{ role: 'user', content: 'one two three ' }] },
      { ...greedy, messages: [{ role: 'system', content: 'one two three' }] },
      { ...greedy, response_format: { type: 'json_object' } },
    ];
    for (const other of others) expect(told(await bed.chat(other)), JSON.stringify(other)).toBe('miss');
    for (const other of others) expect(told(await bed.chat(other)), JSON.stringify(other)).toBe('hit');
  });

  it('is a hit under an alias, and with its fields in another order', async () => {
    await using bed = await bedWith();
    await bed.chat(greedy);
    expect(told(await bed.chat({ model: 'gpt-4o-mini', ...greedy }))).toBe('hit');
    const message = '{"temperature":0,"messages":[{"content":"one two three","role":"user"}],"model":"demo"}';
    expect(told(await bed.post('/v1/chat/completions', message))).toBe('hit');
  });

  it('is a hit for texts, with echo and best_of, and never a chat’s', async () => {
    await using bed = await bedWith();
    const text = (more: object = {}) => bed.post('/v1/completions', { prompt: 'one two three', ...greedy, ...more });
    expect(told(await bed.chat(greedy))).toBe('miss');
    expect(told(await text())).toBe('miss');
    const asked = { echo: true, logprobs: 2, n: 2, best_of: 3 };
    const [first, second] = [await text(asked), await text(asked)];
    expect([told(first), told(second)]).toEqual(['miss', 'hit']);
    expect((await body(second)).choices).toEqual((await body(first)).choices);
    expect(told(await text({ ...asked, best_of: 2 }))).toBe('miss');
  });

  it('is asked anew once the model’s file or engine is another', async () => {
    await using bed = await bedWith();
    const model = { id: 'demo', aliases: ['gpt-4o-mini'], isDefault: true };
    expect(told(await bed.chat(greedy))).toBe('miss');
    expect(told(await bed.chat(greedy))).toBe('hit');
    bed.worker.serve([{ ...model, created: 1_800_000_000 }]);
    await expect.poll(async () => told(await bed.chat(greedy))).toBe('miss');
    bed.worker.serve([{ ...model, created: 1_800_000_000, engine: 'fake 2' }]);
    await expect.poll(async () => told(await bed.chat(greedy))).toBe('miss');
    expect(told(await bed.chat(greedy))).toBe('hit');
  });

  it('is answered while the waiting room is full, and while no worker is there at all', async () => {
    await using bed = await bedWith({ maxConcurrentRequests: 1, maxQueueDepth: 1, coldStartWaitMs: 100 }, [
      { script: ({ prompt }) => (JSON.stringify(prompt).includes('endless') ? { endless: 'x ' } : {}) },
    ]);
    await bed.chat(greedy);
    const controller = new AbortController();
    const endless = { messages: [{ role: 'user', content: 'endless' }], stream: true };
    const blocking = [
      bed.chat(endless, { signal: controller.signal }),
      bed.chat(endless, { signal: controller.signal }),
    ];
    await expect.poll(async () => (await bed.chat()).status).toBe(429);
    expect(told(await bed.chat(greedy))).toBe('hit');
    controller.abort();
    await Promise.allSettled(blocking);

    bed.worker.die();
    await expect.poll(async () => (await bed.chat()).status).toBe(503);
    const answered = await bed.chat(greedy);
    expect(answered.status).toBe(200);
    expect(told(answered)).toBe('hit');
  });
});

describe('x-millrace-cache', () => {
  it('is on, off, refresh: asks, leaves alone, replaces', async () => {
    let round = 0;
    await using bed = await bedWith({}, [{ script: () => ({ answer: [`round ${++round}`] }) }]);
    const content = async (response: Response) => (await body(response)).choices[0]!.message.content;
    expect(told(await bed.chat())).toBeNull();
    expect(told(await bed.chat(greedy, header('off')))).toBeNull();
    const first = await bed.chat({}, header('on'));
    expect([told(first), await content(first)]).toEqual(['miss', 'round 3']);
    const hit = await bed.chat({}, header('on'));
    expect([told(hit), await content(hit)]).toEqual(['hit', 'round 3']);
    const refreshed = await bed.chat({}, header('refresh'));
    expect([told(refreshed), await content(refreshed)]).toEqual(['miss', 'round 4']);
    expect(await content(await bed.chat({}, header('on')))).toBe('round 4');
    expect(await content(await bed.chat({}, header('off')))).toBe('round 5');
    expect(await content(await bed.chat({}, header('on')))).toBe('round 4');
  });

  it.each(['yes', '', 'ON', 'on,on', 'on, off', 'onn', 'x'.repeat(10_000)])(
    'refuses %j, and says what it takes',
    async (value) => {
      await using bed = await bedWith();
      const response = await bed.chat(greedy, header(value));
      expect(response.status).toBe(400);
      const { error } = (await response.json()) as { error: { message: string; param: string } };
      expect(error.param).toBe('x-millrace-cache');
      expect(error.message).toMatch(/^x-millrace-cache is ".{0,40}"; it takes one of on, off, refresh, semantic\./);
      expect(told(response)).toBeNull();
    },
  );

  it('refuses one that was sent twice', async () => {
    await using bed = await bedWith();
    const headers = new Headers();
    headers.append('x-millrace-cache', 'on');
    headers.append('x-millrace-cache', 'on');
    expect((await bed.chat(greedy, { headers: Object.fromEntries(headers) })).status).toBe(400);
  });

  it('asks in vain where nothing may be kept', async () => {
    await using bed = await bedWith({ cache: 'off' });
    for (const value of ['on', 'refresh', 'semantic']) {
      for (const _ of [1, 2]) expect(told(await bed.chat(greedy, header(value)))).toBeNull();
    }
    await using none = await TestBed.start();
    expect(told(await none.chat(greedy, header('on')))).toBeNull();
  });
});

describe('what is kept', () => {
  const keys = {
    ...EVERYBODY,
    authenticate: (presented: string | undefined) => ({ ...ANYONE, keyId: presented, keyName: presented }),
  };
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

  it('is of one key alone', async () => {
    await using bed = await bedWith({}, [{}], { authenticator: keys });
    expect(told(await bed.chat(greedy, as('alice')))).toBe('miss');
    expect(told(await bed.chat(greedy, as('bob')))).toBe('miss');
    expect(told(await bed.chat(greedy, as('alice')))).toBe('hit');
    expect(bed.worker.started).toHaveLength(2);
  });

  it('is given to nobody whom a key, its models or its limits refuse', async () => {
    let caller: object = {};
    let refuses = false;
    const authenticate = () => {
      if (refuses) throw new InferenceError('invalid_api_key', 'The API key is unknown.');
      return { ...ANYONE, keyId: 'alice', keyName: 'alice', ...caller };
    };
    let spent = false;
    const rates = {
      take: async () => {
        if (spent) throw new InferenceError('insufficient_quota', 'The budget is spent.');
        return { model: 'demo', turnTo: async () => undefined, settle: () => {} };
      },
      trouble: undefined,
      close: async () => {},
    };
    await using bed = await bedWith({}, [{}], { authenticator: { ...EVERYBODY, authenticate }, rates });
    await bed.chat(greedy);
    expect(told(await bed.chat(greedy))).toBe('hit');
    const refused = async (status: number) => {
      const response = await bed.chat(greedy);
      expect([response.status, told(response)]).toEqual([status, null]);
    };
    spent = true;
    await refused(429);
    spent = false;
    caller = { models: ['another'] };
    await refused(403);
    refuses = true;
    await refused(401);
  });

  it('is nothing that broke off, that its client did not hear to its end, or that a provider held back', async () => {
    let script: object = { failure: { afterTokens: 2, code: 'internal_error' } };
    await using bed = await bedWith({}, [{ script: () => script }]);
    await bed.chat(greedy);
    script = { endless: 'x ' };
    const controller = new AbortController();
    const left = await bed.chat({ ...greedy, stream: true }, { signal: controller.signal });
    await left.body!.getReader().read();
    controller.abort();
    await expect.poll(() => bed.worker.running).toBe(0);
    script = { reason: 'content_filter' };
    expect(told(await bed.chat(greedy))).toBe('miss');
    script = {};
    expect(told(await bed.chat(greedy))).toBe('miss');
    expect(told(await bed.chat(greedy))).toBe('hit');
  });

  it('is nothing that is larger than cacheEntryBytesMax, and the answer is whole all the same', async () => {
    const answer = Array.from({ length: 200 }, (_, index) => `word${index}`.padEnd(60, '.'));
    await using bed = await bedWith({ cacheEntryBytesMax: 2_048 }, [{ script: () => ({ answer }), stepMs: 0 }]);
    for (const stream of [false, true]) {
      const response = await bed.chat({ ...greedy, stream });
      expect(told(response)).toBe('miss');
      const content = stream ? textOf(await chunksOf(response)) : (await body(response)).choices[0]!.message.content;
      expect(content).toBe(answer.join(''));
    }
  });

  it('costs its caller nothing the second time: no tokens, and the record says so', async () => {
    const settled: number[] = [];
    const rates = {
      take: async () => ({
        model: 'demo',
        turnTo: async () => undefined,
        settle: (tokens: number) => void settled.push(tokens),
      }),
      trouble: undefined,
      close: async () => {},
    };
    await using bed = await bedWith({}, [{}], { rates });
    await bed.chat(greedy);
    await bed.chat(greedy);
    await expect.poll(() => bed.records().length).toBe(2);
    expect(settled).toEqual([7, 0]);
    const [ran, cached] = bed.records();
    expect(ran).toMatchObject({ cached: false, attempts: 1, promptTokens: 3, completionTokens: 4 });
    expect(cached).toMatchObject({
      cached: true,
      attempts: 0,
      outcome: 'served',
      promptTokens: 3,
      completionTokens: 4,
      model: 'demo',
    });
    expect(cached!.perTokenMs).toBeUndefined();
    const metrics = await (await fetch(`${bed.url}/metrics`)).text();
    expect(metrics).toMatch(/millrace_tokens_total\{kind="completion",model="demo"[^}]*\} 4/);
    expect(metrics).toMatch(/millrace_cache_requests_total\{outcome="hit"[^}]*\} 1/);
    expect(metrics).toMatch(/millrace_cache_bytes[^\n]* [1-9]\d+/);
  });
});

describe('a store of answers that fails', () => {
  const broken = (changes: Partial<ResponseCache>): ResponseCache => ({
    get: async () => undefined,
    put: async () => {},
    bytes: 0,
    close: async () => {},
    ...changes,
  });
  const fails = async () => {
    throw new Error('the store is on fire');
  };

  it.each([
    ['get', broken({ get: fails })],
    ['put', broken({ put: fails })],
    ['get', broken({ get: fails, put: fails })],
  ])('is a miss and a count, whatever fails: %s', async (operation, responseCache) => {
    await using bed = await bedWith({}, [{}], { responseCache });
    for (const _ of [1, 2, 3]) {
      const response = await bed.chat(greedy);
      expect([response.status, told(response)]).toEqual([200, 'miss']);
    }
    const metrics = await (await fetch(`${bed.url}/metrics`)).text();
    expect(metrics).toMatch(new RegExp(`millrace_cache_store_failures_total\\{operation="${operation}"`));
    const warned = bed.log.map(({ msg }) => String(msg)).filter((text) => text.includes('on fire'));
    expect(new Set(warned).size).toBe(warned.length);
    expect(warned.length).toBeGreaterThan(0);
  });

  it('to keep any more still gives what it has: it may only be full', async () => {
    const kept = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 });
    let full = false;
    const put = (key: string, entry: Uint8Array) => (full ? fails() : kept.put(key, entry));
    await using bed = await bedWith({}, [{}], { responseCache: broken({ get: (key) => kept.get(key), put }) });
    await bed.chat(greedy);
    full = true;
    expect(told(await bed.chat({ ...greedy, max_tokens: 3 }))).toBe('miss');
    expect(told(await bed.chat(greedy))).toBe('hit');
    await kept.close();
  });

  it('that gives back anything at all is a miss', async () => {
    const things = [new Uint8Array(), Buffer.from('nonsense'), Buffer.alloc(100, 1), Buffer.from([1, 0, 0, 0, 0])];
    let at = 0;
    await using bed = await bedWith({}, [{}], {
      responseCache: broken({ get: async () => things[at++ % things.length] }),
    });
    for (const _ of things) expect(told(await bed.chat(greedy))).toBe('miss');
  });

  it('that hangs on a write holds nobody up', async () => {
    await using bed = await bedWith({}, [{}], { responseCache: broken({ put: () => new Promise(() => {}) }) });
    expect(told(await bed.chat(greedy))).toBe('miss');
    // It is found with the run, for as long as nobody knows whether it can be found in the cache.
    expect(told(await bed.chat(greedy))).toBe('hit');
  });
});

describe('many that ask the same at once', () => {
  it('are answered by one run, a thousand of them, streamed or whole', async () => {
    await using bed = await bedWith({ maxConcurrentRequests: 4, maxQueueDepth: 4 });
    const responses = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => bed.chat({ ...greedy, stream: index % 2 === 0 })),
    );
    expect(responses.map(({ status }) => status).every((status) => status === 200)).toBe(true);
    const texts = await Promise.all(responses.map((response) => response.text()));
    expect(texts.every((text) => text.includes('three'))).toBe(true);
    expect(bed.worker.started).toHaveLength(1);
    const records = bed.records();
    expect(records).toHaveLength(1_000);
    expect(records.filter(({ cached }) => cached === false)).toHaveLength(1);
    expect(new Set(records.map(({ completionTokens }) => completionTokens))).toEqual(new Set([4]));
    expect(records.every(({ outcome }) => outcome === 'served')).toBe(true);
  }, 30_000);

  it('go on when the first one leaves, and the run ends when the last one does', async () => {
    await using bed = await bedWith({}, [{ script: () => ({ endless: 'x ' }) }]);
    const clients = Array.from({ length: 3 }, () => new AbortController());
    const readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
    for (const { signal } of clients) {
      const response = await bed.chat({ ...greedy, stream: true }, { signal });
      readers.push(response.body!.getReader());
    }
    expect(bed.worker.started).toHaveLength(1);
    clients[0]!.abort();
    await expect.poll(() => bed.records().length).toBe(1);
    for (const reader of readers.slice(1)) for (const _ of [1, 2, 3]) await reader.read();
    expect(bed.worker.running).toBe(1);
    clients[1]!.abort();
    clients[2]!.abort();
    await expect.poll(() => bed.worker.running).toBe(0);
    await expect.poll(() => bed.records().length).toBe(3);
    const records = bed.records();
    expect(records.map(({ outcome }) => outcome)).toEqual(['cancelled', 'cancelled', 'cancelled']);
    // What was computed counts once: for the one that stayed longest.
    expect(records.map(({ cached }) => cached)).toEqual([true, true, false]);
  });

  it('pay once, though the one that began has left: who reads to the end pays', async () => {
    const answer = Array.from({ length: 40 }, () => 'w ');
    await using bed = await bedWith({}, [{ script: () => ({ answer }), stepMs: 5 }]);
    const controller = new AbortController();
    const first = await bed.chat({ ...greedy, stream: true }, { signal: controller.signal });
    await first.body!.getReader().read();
    const second = bed.chat(greedy);
    await new Promise((resolve) => setTimeout(resolve, 40));
    controller.abort();
    const { usage } = await body(await second);
    await expect.poll(() => bed.records().length).toBe(2);
    const [left, stayed] = bed.records();
    expect(left).toMatchObject({ cached: true, outcome: 'cancelled' });
    expect(stayed).toMatchObject({ cached: false, outcome: 'served', completionTokens: 41 });
    expect(usage).toMatchObject({ completion_tokens: 41 });
    expect(told(await bed.chat(greedy))).toBe('hit');
  });

  it('are each refused where the request is at fault, by one run', async () => {
    const failure = { code: 'context_length_exceeded', message: 'The prompt has 9 tokens; 8 fit.', param: 'messages' };
    await using bed = await bedWith({}, [{ script: () => ({ stepsBeforeFirst: 20, failure }) }]);
    const responses = await Promise.all(Array.from({ length: 20 }, () => bed.chat(greedy)));
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 400));
    expect(bed.worker.started.length).toBeLessThan(20);
    expect(bed.records().every(({ outcome }) => outcome === 'rejected')).toBe(true);
  });

  it('try again where only the worker was, and not all at once', async () => {
    let runs = 0;
    const failing = { stepsBeforeFirst: 30, failure: { code: 'model_failed', message: 'broke' } };
    await using bed = await bedWith({}, [{ script: () => (++runs <= 1 ? failing : {}) }]);
    const responses = await Promise.all(Array.from({ length: 10 }, () => bed.chat(greedy)));
    const statuses = responses.map(({ status }) => status).sort();
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(9);
    expect(bed.worker.started.length).toBeLessThanOrEqual(3);
  });

  it('have each a deadline of their own', async () => {
    await using bed = await bedWith({}, [{ script: () => ({ stepsBeforeFirst: 300, answer: ['late'] }) }]);
    const hasty = bed.chat(greedy, { headers: { 'x-millrace-deadline-ms': '60' } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const patient = bed.chat(greedy);
    expect((await hasty).status).toBe(504);
    expect((await body(await patient)).choices[0]).toMatchObject({ message: { content: 'late' } });
    expect(bed.worker.started).toHaveLength(1);
  });

  it('get a long answer whole, which is not kept, though one of them reads slowly', async () => {
    const answer = Array.from({ length: 500 }, (_, index) => `word${index}`.padEnd(100, '.'));
    await using bed = await bedWith({ cacheEntryBytesMax: 4_096 }, [{ script: () => ({ answer }), stepMs: 0 }]);
    const streamed = await Promise.all([1, 2, 3].map(() => bed.chat({ ...greedy, stream: true })));
    const texts = await Promise.all(
      streamed.map(async (response, index) => {
        await new Promise((resolve) => setTimeout(resolve, 100 * index));
        return textOf(await chunksOf(response));
      }),
    );
    expect(texts).toEqual([1, 2, 3].map(() => answer.join('')));
    expect(told(await bed.chat(greedy))).toBe('miss');
  });

  it('of two keys are two runs', async () => {
    const keys = {
      ...EVERYBODY,
      authenticate: (presented: string | undefined) => ({ ...ANYONE, keyId: presented, keyName: presented }),
    };
    await using bed = await bedWith({}, [{}], { authenticator: keys });
    const as = (key: string) => bed.chat(greedy, { headers: { authorization: `Bearer ${key}` } });
    await Promise.all(Array.from({ length: 20 }, (_, index) => as(index % 2 ? 'alice' : 'bob')));
    expect(bed.worker.started).toHaveLength(2);
  });
});
