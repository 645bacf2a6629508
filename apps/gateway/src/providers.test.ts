import { inspect } from 'node:util';
import {
  InferenceError,
  type ModelsFile,
  modelsFileSchema,
  plainAnswerSchema,
  plainModelListSchema,
} from '@millrace/contracts';
import { ConfigurationError } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import { PretendProvider } from './dispatch/provider.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { fixedModels, type ModelsInForce } from './routing/models-in-force.js';
import { ANYONE } from './vocabulary.js';

const GROQ_KEY = 'gsk_Gr0qGr0qGr0qGr0qGr0q';
const FIREWORKS_KEY = 'fw_F1reF1reF1reF1reF1re';

let groq: PretendProvider;
let fireworks: PretendProvider;
beforeEach(async () => {
  groq = await PretendProvider.start(GROQ_KEY, ['llama-3.1-8b-instant']);
  fireworks = await PretendProvider.start(FIREWORKS_KEY, ['accounts/fireworks/models/qwen2p5-7b-instruct']);
  vi.stubEnv('GROQ_API_KEY', GROQ_KEY);
  vi.stubEnv('FIREWORKS_API_KEY', FIREWORKS_KEY);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await groq.close();
  await fireworks.close();
});

const llama = (more: object = {}) => ({
  id: 'chat/llama-small',
  aliases: ['llama'],
  engine: 'openai-compatible',
  upstream: { preset: 'groq', url: groq.url, model: 'llama-3.1-8b-instant', retriesMax: 0, ...more },
});
const qwen = (more: object = {}) => ({
  id: 'chat/qwen-small',
  engine: 'openai-compatible',
  upstream: {
    preset: 'fireworks',
    url: fireworks.url,
    model: 'accounts/fireworks/models/qwen2p5-7b-instruct',
    retriesMax: 0,
    ...more,
  },
});
const fileOf = (...models: object[]): ModelsFile => modelsFileSchema.parse({ models });
const USAGE = {
  prompt_tokens: 9,
  completion_tokens: 2,
  total_tokens: 11,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};

function start(file: ModelsFile, settings: Parameters<typeof TestBed.start>[0] = {}, workers: [] | [object] = []) {
  return TestBed.start({ providerCheck: 'strict', ...settings }, workers, true, '127.0.0.1', {
    models: fixedModels(file),
  });
}
const ask = (bed: TestBed, model: string, more: object = {}, content = 'say hello you') =>
  bed.chat({ model, messages: [{ role: 'user', content }], ...more });

describe('a model of a provider, without any worker', () => {
  it('answers as any other does, whole and streamed, under all of its names', async () => {
    await using bed = await start(fileOf(llama(), qwen()));
    for (const model of ['chat/llama-small', 'llama', 'chat/qwen-small']) {
      const whole = await bed.client.chat.completions.create({
        model,
        messages: [{ role: 'user', content: 'say hello you' }],
      });
      expect(whole.choices[0]!.message.content).toBe('hello you');
      expect(whole.usage).toMatchObject({ prompt_tokens: 9, completion_tokens: 2 });
      const events = await eventsOf(await ask(bed, model, { stream: true }));
      expect(events.at(-1)).toBe('data: [DONE]');
      expect(events.join()).toContain('hello');
    }
    expect(groq.calls).toHaveLength(4);
    expect(groq.calls[0]!.body).toMatchObject({ model: 'llama-3.1-8b-instant' });
    expect(fireworks.calls[0]!.body).toMatchObject({ model: 'accounts/fireworks/models/qwen2p5-7b-instruct' });
    expect(bed.records()[0]).toMatchObject({ outcome: 'served', worker: 'provider:groq/chat/llama-small' });
  });

  it('is ready at /readyz, and named in /health', async () => {
    await using bed = await start(fileOf(llama()));
    const response = await fetch(`${bed.url}/readyz`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ capabilities: { chat: ['chat/llama-small'] } });
    const health = await (await fetch(`${bed.url}/health`)).json();
    expect(health).toMatchObject({
      status: 'ok',
      workers: [{ address: 'provider:groq/chat/llama-small', state: 'ready' }],
    });
  });

  it('stands beside those of workers', async () => {
    await using bed = await start(fileOf(llama()), {}, [{}]);
    expect(await (await ask(bed, 'demo', {}, 'one two')).json()).toMatchObject({ model: 'demo' });
    expect(await (await ask(bed, 'llama')).json()).toMatchObject({ model: 'chat/llama-small' });
  });

  it('leaves nothing running when its caller leaves', async () => {
    await using bed = await start(fileOf(llama()));
    const leaving = new AbortController();
    const response = await bed.chat(
      { model: 'llama', messages: [{ role: 'user', content: 'endless' }], stream: true },
      { signal: leaving.signal },
    );
    await response.body!.getReader().read();
    expect(groq.running).toBe(1);
    leaving.abort();
    await expect.poll(() => groq.running).toBe(0);
  });

  it('that fails in mid-stream ends the stream with an honest error', async () => {
    await using bed = await start(fileOf(llama()));
    const events = await eventsOf(await ask(bed, 'llama', { stream: true }, 'break'));
    expect(events.join()).toContain('one ');
    expect(events.at(-1)).toMatch(/"error":.*"code":"(upstream_failed|answer_broken_off)"/);
  });
});

describe('a provider that fails', () => {
  const standIn = () => fileOf({ ...llama(), fallbacks: ['chat/qwen-small'] }, qwen());

  it.each([
    ['refuses its key', 401],
    ['is not well', 500],
    ['has too much to do', 429],
    ['hangs up', 0],
  ])('in the middle of the day, is stood in for: it %s', async (_what, status) => {
    await using bed = await start(standIn());
    groq.mood = { status };
    for (let time = 0; time < 3; time++) {
      const response = await ask(bed, 'llama');
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ model: 'chat/qwen-small' });
    }
  });

  it('and asks to wait is not asked again where another stands in, and is where none does', async () => {
    const again = { retriesMax: 1 };
    await using bed = await start(fileOf({ ...llama(again), fallbacks: ['chat/qwen-small'] }, qwen(again)));
    groq.mood = { status: 429, retryAfter: 25 };
    expect(await (await ask(bed, 'llama')).json()).toMatchObject({ model: 'chat/qwen-small' });
    expect(groq.calls).toHaveLength(1);
    fireworks.mood = { status: 429, retryAfter: 2 };
    expect((await ask(bed, 'chat/qwen-small')).status).toBe(429);
    expect(fireworks.calls).toHaveLength(3);
  });

  it('is not waited for: nobody knows when it is back', async () => {
    await using bed = await start(standIn(), { coldStartWaitMs: 60_000 });
    const standing = async () => ((await (await fetch(`${bed.url}/readyz`)).json()) as { status: string }).status;
    groq.mood = { status: 401 };
    fireworks.mood = { status: 401 };
    expect((await ask(bed, 'llama')).status).toBe(502);
    await expect.poll(standing, { timeout: 10_000 }).toBe('not ready');
    const response = await ask(bed, 'llama');
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    const said =
      'It is unavailable (its provider, groq, can not be asked). Nor can what would stand in for it: `chat/qwen-small`';
    expect(await response.text()).toContain(said);
  });

  it('is asked again once it is well', async () => {
    await using bed = await start(standIn());
    groq.mood = { status: 401 };
    await ask(bed, 'llama');
    const lost = async () => (await (await fetch(`${bed.url}/health`)).text()).includes('"state":"lost"');
    await expect.poll(lost, { timeout: 5_000 }).toBe(true);
    groq.mood = {};
    await expect.poll(lost, { timeout: 8_000 }).toBe(false);
    const modelOf = async () => ((await (await ask(bed, 'llama')).json()) as { model: string }).model;
    await expect.poll(modelOf, { timeout: 15_000, interval: 500 }).toBe('chat/llama-small');
  });
});

describe('a key', () => {
  const limited: Authenticator = {
    ...EVERYBODY,
    authenticate: (presented) => {
      if (presented === undefined) throw new InferenceError('invalid_api_key', 'Send a key.');
      return { ...ANYONE, keyId: 'k', keyName: 'k', models: ['chat/qwen*'] };
    },
  };
  const open = () =>
    TestBed.start({}, [], true, '127.0.0.1', { models: fixedModels(fileOf(llama(), qwen())), authenticator: limited });
  const init = { headers: { authorization: 'Bearer any' } };
  const messages = [{ role: 'user', content: 'say hello' }];

  it('is needed at /chat and /models too', async () => {
    await using bed = await open();
    expect((await bed.post('/chat', { messages })).status).toBe(401);
    expect((await fetch(`${bed.url}/models`)).status).toBe(401);
  });

  it('sees and uses its models there, and no others', async () => {
    await using bed = await open();
    const { data } = (await (await fetch(`${bed.url}/models`, init)).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(['chat/qwen-small']);
    expect((await bed.post('/chat', { model: 'chat/qwen-small', messages }, init)).status).toBe(200);
    const refused = await bed.post('/chat', { model: 'llama', messages }, init);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error: { code: 'model_not_allowed', param: 'model' } });
  });
});

describe('POST /chat', () => {
  const plain = (bed: TestBed, body: object, init: RequestInit = {}) => bed.post('/chat', body, init);
  const messages = [{ role: 'user', content: 'say hello you' }];

  it('answers with text, provider, model, usage and latency', async () => {
    await using bed = await start(fileOf(llama()));
    const response = await plain(bed, { model: 'llama', messages });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-request-id')).toBeTruthy();
    const body = plainAnswerSchema.strict().parse(await response.json());
    expect(body).toEqual({
      text: 'hello you',
      provider: 'groq',
      model: 'chat/llama-small',
      usage: USAGE,
      latency_ms: expect.any(Number),
      finish_reason: 'stop',
      id: expect.stringMatching(/^chatcmpl-/),
    });
    expect(bed.records()).toMatchObject([{ endpoint: 'chat', outcome: 'served', model: 'chat/llama-small' }]);
  });

  it('streams pieces of the text, then everything else, then [DONE]', async () => {
    await using bed = await start(fileOf(llama()));
    const response = await plain(bed, { model: 'llama', messages, params: { stream: true } });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = await eventsOf(response);
    expect(events.pop()).toBe('data: [DONE]');
    const bodies = events.map((event) => JSON.parse(event.slice('data: '.length)));
    const last = bodies.pop();
    expect(bodies.map(({ text }) => text).join('')).toBe('hello you');
    expect(last).toMatchObject({
      provider: 'groq',
      usage: USAGE,
      finish_reason: 'stop',
      latency_ms: expect.any(Number),
    });
    expect(last).not.toHaveProperty('text');
  });

  it('hands its parameters on, and json_mode as what it means', async () => {
    await using bed = await start(fileOf(qwen()));
    const params = { temperature: 0.25, top_p: 0.5, max_tokens: 7, seed: 42, stream: false, json_mode: true };
    expect((await plain(bed, { messages, params })).status).toBe(200);
    expect(fireworks.calls[0]!.body).toMatchObject({
      temperature: 0.25,
      top_p: 0.5,
      max_tokens: 7,
      seed: 42,
      response_format: { type: 'json_object' },
    });
  });

  it('takes null for a parameter that is left out', async () => {
    await using bed = await start(fileOf(llama()));
    const params = { temperature: null, top_p: null, max_tokens: null, seed: null, stream: null, json_mode: null };
    expect((await plain(bed, { messages, params })).status).toBe(200);
    expect((await plain(bed, { messages, params: null })).status).toBe(200);
  });

  it('is answered from what was kept of the same question, at either path', async () => {
    const responseCache = new MemoryResponseCache({ bytesMax: 1024 * 1024, ageMsMax: 60_000 });
    const parts = { models: fixedModels(fileOf(llama())), responseCache };
    await using bed = await TestBed.start({}, [], true, '127.0.0.1', parts);
    const first = await bed.chat({ messages, temperature: 0 });
    const again = await plain(bed, { messages, params: { temperature: 0 } });
    expect([first, again].map(({ headers }) => headers.get('x-millrace-cache'))).toEqual(['miss', 'hit']);
    expect(await again.json()).toMatchObject({ text: 'hello you', provider: 'groq', usage: USAGE });
    expect(groq.calls).toHaveLength(1);
  });

  it('says `millrace` where a worker answered', async () => {
    await using bed = await start(fileOf(llama()), {}, [{}]);
    const body = await (await plain(bed, { model: 'demo', messages })).json();
    expect(body).toMatchObject({ provider: 'millrace', model: 'demo' });
  });

  it.each([
    [{ params: { top_k: 3 } }, 'unknown_parameter', 'params.top_k', /params\.top_k/],
    [{ params: { __proto__x: 3 } }, 'unknown_parameter', 'params.__proto__x', /temperature, top_p/],
    [{ params: { temperature: 3 } }, null, 'params.temperature', /`params.temperature` is 3; it must be at most 2/],
    [{ params: { max_tokens: 0 } }, null, 'params.max_tokens', /`params.max_tokens` is 0/],
    [{ params: { json_mode: 'yes' } }, null, 'params.json_mode', /`params.json_mode` is "yes"/],
    [{ params: [] }, null, 'params', /`params` is an empty list/],
    [{ temperature: 1 }, 'unknown_parameter', 'temperature', /Here it stands in `params`/],
    [{ messages: [] }, null, 'messages', /`messages`/],
    [{ messages: [{ role: 'user' }] }, null, 'messages[0].content', /required/],
    [{ model: 'absent' }, 'model_not_found', 'model', /absent/],
  ])('refuses what it cannot do, by its name: %j', async (changes, code, param, message) => {
    await using bed = await start(fileOf(llama()));
    const response = await plain(bed, { model: 'llama', messages, ...changes });
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(response.status).toBe(code === 'model_not_found' ? 404 : 400);
    expect(error).toMatchObject({ param, message: expect.stringMatching(message) });
    if (code !== null) expect(error.code).toBe(code);
    expect(bed.records()).toHaveLength(1);
    expect(groq.calls).toEqual([]);
  });

  it('fails as OpenAI does, before the stream and within it', async () => {
    await using bed = await start(fileOf(llama()));
    const broken = [{ role: 'user', content: 'break' }];
    const events = await eventsOf(await plain(bed, { messages: broken, params: { stream: true } }));
    expect(JSON.parse(events.at(-1)!.slice('data: '.length))).toMatchObject({ error: { type: expect.any(String) } });
    groq.mood = { status: 400 };
    const response = await plain(bed, { messages, params: { stream: true } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining('refuses the request') } });
  });

  it('takes no other method', async () => {
    await using bed = await start(fileOf(llama()));
    expect((await fetch(`${bed.url}/chat`)).status).toBe(405);
    expect((await bed.post('/models', {})).status).toBe(405);
  });
});

describe('GET /models', () => {
  it('lists every name, who answers to it, and how it stands', async () => {
    await using bed = await start(fileOf(llama(), qwen()), {}, [{}]);
    const { data } = plainModelListSchema.parse(await (await fetch(`${bed.url}/models`)).json());
    const byId = Object.fromEntries(data.map((model) => [model.id, model]));
    expect(byId['chat/llama-small']).toMatchObject({
      object: 'model',
      provider: 'groq',
      upstream_model: 'llama-3.1-8b-instant',
      aliases: ['llama'],
      capabilities: ['chat'],
      state: 'loaded',
      context_length: 131_072,
    });
    expect(byId.llama).toMatchObject({ provider: 'groq', stands_for: [{ model: 'chat/llama-small', weight: 1 }] });
    expect(byId['chat/qwen-small']).toMatchObject({ provider: 'fireworks' });
    expect(byId.demo).toMatchObject({ provider: 'millrace', upstream_model: 'demo' });
    expect(byId['gpt-4o-mini']).toMatchObject({ provider: 'millrace', upstream_model: 'demo' });
  });

  it('works for a client of OpenAI’s at the path without a prefix', async () => {
    await using bed = await start(fileOf(llama()));
    bed.client.baseURL = bed.url;
    const ids = [];
    for await (const { id } of bed.client.models.list()) ids.push(id);
    expect(ids).toEqual(['chat/llama-small', 'llama']);
  });
});

describe('the check at the start', () => {
  const startedWith = (settings: Parameters<typeof TestBed.start>[0], file = fileOf(llama(), qwen())) =>
    TestBed.start(settings, [], false, '127.0.0.1', { models: fixedModels(file) });
  const refusal = async (settings: Parameters<typeof TestBed.start>[0], file?: ModelsFile) => {
    const error = await startedWith(settings, file).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as ConfigurationError).message;
  };

  it('names every variable and provider that is wrong, the address, and what to do', async () => {
    vi.stubEnv('GROQ_API_KEY', '');
    fireworks.mood = { status: 403 };
    const message = await refusal({});
    expect(message).toMatch(
      /groq at http:\/\/127.0.0.1:\d+\/v1 needs a key .*GROQ_API_KEY\. It is to serve chat\/llama-small\./,
    );
    expect(message).toMatch(
      /fireworks at http:\/\/127.0.0.1:\d+\/v1 refuses the key in FIREWORKS_API_KEY: it answers with status 403/,
    );
    expect(message).toContain('--provider-check=warn');
    expect(inspect(message)).not.toContain(FIREWORKS_KEY);
  });

  it('finds a provider that is not there, or does not answer in time', async () => {
    const port = 9;
    const file = fileOf(llama({ url: `http://127.0.0.1:${port}/v1` }), qwen());
    expect(await refusal({}, file)).toMatch(
      /groq at http:\/\/127.0.0.1:9\/v1 does not answer: it can't be reached \(ECONNREFUSED\)/,
    );
  });

  it('lets a provider pass that has trouble of its own, and says so', async () => {
    groq.mood = { modelsStatus: 503 };
    fireworks.mood = { modelsStatus: 429 };
    await using bed = await startedWith({});
    expect(bed.log.map(({ msg }) => msg).join()).toMatch(/groq .* is not well: it answers with status 503/);
    expect((await ask(bed, 'llama')).status).toBe(200);
  });

  it('only says so where it is to warn, serves what it can, and tells /readyz', async () => {
    groq.mood = { status: 401 };
    await using bed = await startedWith({ providerCheck: 'warn' });
    expect(bed.log.map(({ msg }) => msg).join()).toContain('refuses the key in GROQ_API_KEY');
    expect((await ask(bed, 'chat/qwen-small')).status).toBe(200);
    const ready = await (await fetch(`${bed.url}/readyz`)).json();
    expect(ready).toMatchObject({
      status: 'ready',
      degraded: [
        { part: 'providers', detail: expect.stringMatching(/refuses the key in GROQ_API_KEY.*chat\/llama-small/) },
      ],
    });
  });

  it('asks nobody where it is off', async () => {
    await using bed = await startedWith({ providerCheck: 'off' });
    expect((await ask(bed, 'llama')).status).toBe(200);
    expect(groq.pings + fireworks.pings).toBe(0);
  });

  it('asks each provider once, however many models it has', async () => {
    const file = fileOf(llama(), { ...llama(), id: 'other', aliases: [] }, { ...llama(), id: 'third', aliases: [] });
    await using _bed = await startedWith({}, file);
    expect(groq.pings).toBe(1);
  });

  it('is no affair of an edit: a provider that is wrong then is told at /readyz', async () => {
    let edited: (file: ModelsFile) => void = () => {};
    const models: ModelsInForce = {
      ...fixedModels(fileOf(llama())),
      watch: (listener) => {
        edited = listener;
        return () => {};
      },
    };
    await using bed = await TestBed.start({}, [], true, '127.0.0.1', { models });
    fireworks.mood = { status: 401 };
    edited(fileOf(llama(), qwen()));
    const degraded = async () =>
      ((await (await fetch(`${bed.url}/readyz`)).json()) as { degraded?: object[] }).degraded;
    await expect.poll(degraded).toMatchObject([{ part: 'providers' }]);
    expect((await ask(bed, 'llama')).status).toBe(200);
  });

  it('never tells a key', async () => {
    groq.mood = { status: 401 };
    fireworks.mood = { status: 500 };
    await using bed = await startedWith({ providerCheck: 'warn', coldStartWaitMs: 50 });
    await ask(bed, 'llama').catch(() => {});
    await ask(bed, 'chat/qwen-small').catch(() => {});
    const health = await (await fetch(`${bed.url}/health`)).text();
    for (const key of [GROQ_KEY, FIREWORKS_KEY]) expect(JSON.stringify(bed.log) + health).not.toContain(key);
  });
});
