import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { ModelBody, ModelListBody, ModelsFile } from '@millrace/contracts';
import { parseModelsFile } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { MemoryRateLimiter } from './limits/adapters/memory-rate-limiter.js';
import { CountedRates } from './limits/counted-rates.js';
import { limitsOf, type ModelsInForce } from './routing/models-in-force.js';
import { ANYONE } from './vocabulary.js';

const page = readFileSync(join(import.meta.dirname, '../../../docs/how-to/aliases.md'), 'utf8');
const examples = [...page.matchAll(/## ([^\n]+)\n(?:(?!\n## )[\s\S])*?(?=\n## |$)/g)].flatMap(([section, title]) =>
  [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => ({ title: title!, yaml: yaml! })),
);
const example = (title: string, index = 0) => {
  const found = examples.filter((one) => one.title === title)[index];
  if (found === undefined) throw new TypeError(`The page has no example ${index} under "${title}".`);
  return parseModelsFile(found.yaml, 'models.yaml');
};

/** What a file says, until a test says otherwise. */
class Edited implements ModelsInForce {
  readonly trouble = undefined;
  readonly close = () => {};
  constructor(public current: ModelsFile) {}
  watch(): () => void {
    return () => {};
  }
}

const serving = (...ids: string[]): FakeWorkerOptions => ({
  models: ids.map((id) => ({ id, capabilities: ['chat', 'completion'], contextLength: 8_192 })),
});
/** With real limits, those of the file. */
function parts(models: Edited, authenticator: Authenticator = EVERYBODY) {
  const rates = new CountedRates(new MemoryRateLimiter(), {
    modelLimits: (id) => limitsOf(models.current, id),
    usedTokens: async () => ({ today: 0, thisMonth: 0 }),
    answerTokensEstimate: 16,
  });
  return { models, rates, authenticator };
}

/** A server of the same protocol, which says always the same. */
class Provider implements AsyncDisposable {
  readonly asked: unknown[] = [];
  readonly #server = createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'llama-3.1-8b-instant', object: 'model' }] }));
      return;
    }
    this.asked.push(await json(request));
    response.setHeader('content-type', 'text/event-stream');
    const chunk = (choice: object, more = {}) =>
      response.write(
        `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, finish_reason: null, ...choice }], ...more })}\n\n`,
      );
    chunk({ delta: { role: 'assistant', content: 'from afar' } });
    chunk({ delta: {}, finish_reason: 'stop' }, { usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } });
    response.end('data: [DONE]\n\n');
  });

  static async start(): Promise<Provider> {
    const provider = new Provider();
    await once(provider.#server.listen(0, '127.0.0.1'), 'listening');
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let bed: TestBed;
afterEach(() => bed?.[Symbol.asyncDispose]());

async function start(
  file: ModelsFile,
  workers: (FakeWorkerOptions | FakeWorker)[],
  settings = {},
  authenticator?: Authenticator,
) {
  const models = new Edited(file);
  bed = await TestBed.start(
    { coldStartWaitMs: 0, ...settings },
    workers,
    true,
    '127.0.0.1',
    parts(models, authenticator),
  );
  return models;
}

interface Answer {
  readonly status: number;
  readonly model?: string;
  readonly error?: { readonly message: string; readonly code: string; readonly param: string | null };
}

async function ask(model: string, changes: Record<string, unknown> = {}): Promise<Answer> {
  const response = await bed.chat({ model, ...changes });
  return { status: response.status, ...((await response.json()) as Omit<Answer, 'status'>) };
}
const saying = (content: string) => ({
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content },
  ],
});
const models = async () => ((await (await fetch(`${bed.url}/v1/models`)).json()) as ModelListBody).data;

it('the examples on the page of aliases are all of these', () => {
  expect(examples.map(({ title }) => title)).toEqual([
    'A name that is yours',
    'A canary',
    'A provider that stands in',
    'A provider that stands in',
    'Caps and defaults',
    'What an edit changes, and when',
  ]);
  for (const { yaml } of examples) expect(() => parseModelsFile(yaml, 'models.yaml')).not.toThrow();
});

describe('an alias', () => {
  it('is answered by what it stands for, and listed with that', async () => {
    await start(example('A name that is yours'), [serving('llama-3.3-8b')]);
    expect(await ask('chat')).toMatchObject({ status: 200, model: 'llama-3.3-8b' });
    expect(await models()).toEqual([
      expect.objectContaining({ id: 'llama-3.3-8b' }),
      expect.objectContaining({
        id: 'chat',
        object: 'model',
        capabilities: ['chat', 'completion'],
        context_length: 8_192,
        stands_for: [{ model: 'llama-3.3-8b', weight: 1 }],
        state: 'loaded',
      }),
    ]);
    const one = (await (await fetch(`${bed.url}/v1/models/chat`)).json()) as ModelBody;
    expect(one).toMatchObject({ id: 'chat', stands_for: [{ model: 'llama-3.3-8b', weight: 1 }] });
  });

  it('keeps a conversation at one of its targets, and shares conversations out by weight', async () => {
    await start(example('A canary'), [serving('llama-3.3-8b', 'llama-3.3-8b-tuned')]);
    let tuned = 0;
    for (let number = 0; number < 200; number++) {
      const first = await ask('chat', saying(`question ${number}`));
      if (first.model === 'llama-3.3-8b-tuned') tuned++;
      if (number >= 20) continue;
      const { messages } = saying(`question ${number}`);
      const later = [...messages, { role: 'assistant', content: 'yes' }, { role: 'user', content: `and ${number}?` }];
      expect((await ask('chat', { messages: later })).model).toBe(first.model);
    }
    // A tenth, give or take four times the deviation of so many draws.
    expect(tuned).toBeGreaterThan(3);
    expect(tuned).toBeLessThan(37);
  });

  it('moves no conversation that an edit of its weights need not move', async () => {
    const inForce = await start(example('A canary'), [serving('llama-3.3-8b', 'llama-3.3-8b-tuned')]);
    const all = async () =>
      Promise.all(
        Array.from({ length: 60 }, async (_, number) => (await ask('chat', saying(`topic ${number}`))).model),
      );
    const before = await all();
    const [alias] = inForce.current.aliases;
    const targets = alias!.targets.map((target) => ({ ...target, weight: target.model.endsWith('tuned') ? 9 : 9 }));
    inForce.current = { ...inForce.current, aliases: [{ ...alias!, targets }] };
    const after = await all();
    const moved = before.filter((model, index) => model !== after[index]);
    expect(moved.length).toBeGreaterThan(5);
    expect(new Set(moved)).toEqual(new Set(['llama-3.3-8b']));
  });

  it('passes over a target that no worker knows, and is a 503 where none is known', async () => {
    await start(example('A provider that stands in', 1), [serving('qwen-2.5-7b')]);
    for (const content of ['a', 'b', 'c', 'd']) {
      expect(await ask('either', saying(content))).toMatchObject({ status: 200, model: 'qwen-2.5-7b' });
    }
    expect(await ask('llama-3.3-8b')).toMatchObject({
      status: 503,
      error: {
        code: 'model_not_ready',
        message: expect.stringContaining('No worker has the model `llama-3.3-8b` now'),
      },
    });
    expect((await models()).map(({ id }) => id)).toEqual(['qwen-2.5-7b', 'either', 'llama-first']);
  });

  it('stands for a model that only workers know of', async () => {
    await start(example('What an edit changes, and when'), [serving('llama-3.3-8b')]);
    expect(await ask('chat')).toMatchObject({ status: 200, model: 'llama-3.3-8b' });
  });

  it('is in force as soon as the file says so, and the name that was meant is suggested', async () => {
    const inForce = await start({ models: [], aliases: [] }, [serving('llama-3.3-8b')]);
    expect(await ask('chat')).toMatchObject({ status: 404 });
    inForce.current = example('A name that is yours');
    expect(await ask('chat')).toMatchObject({ status: 200 });
    expect((await ask('caht')).error?.message).toBe(
      'The model `caht` does not exist. Did you mean `chat`? GET /v1/models lists those that do.',
    );
  });

  it('always stands for one model where vectors are asked for', async () => {
    const vectors = (id: string) => ({ id, capabilities: ['embedding'], embeddingLength: 2, contextLength: 512 });
    const file = parseModelsFile(
      'aliases:\n  - {name: v, targets: [{model: two}, {model: one, weight: 3}]}\n  - {name: gone, targets: [{model: none, weight: 9}, {model: one}]}\n',
      'models.yaml',
    );
    await start(file, [{ models: [vectors('one'), vectors('two')] }]);
    for (const input of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const response = await bed.post('/v1/embeddings', { model: 'v', input });
      expect(await response.json()).toMatchObject({ model: 'one' });
    }
    expect((await bed.post('/v1/embeddings', { model: 'gone', input: 'a' })).status).toBe(503);
  });
});

describe('a fallback', () => {
  const written = example('A provider that stands in');
  const PROVIDER = 'chat/llama-small';
  /** As on the page, but with a worker in the provider's place. */
  const file: ModelsFile = {
    ...written,
    models: written.models.map((model) => (model.id === PROVIDER ? { ...model, servedBy: 'worker' } : model)),
  };

  it('is asked by the gateway itself where it is a provider', async () => {
    await using provider = await Provider.start();
    const [local, groq] = written.models;
    const upstream = { ...groq!.upstream!, url: provider.url, preset: 'generic' as const };
    const here = { ...written, models: [local!, { ...groq!, upstream, servedBy: 'gateway' as const }] };
    const worker = await FakeWorker.start(serving('llama-3.3-8b'));
    await start(here, [worker], { providerCheck: 'off' });
    expect(await ask('llama-3.3-8b')).toMatchObject({ status: 200, model: 'llama-3.3-8b' });
    worker.die();
    const answer = await ask('llama-3.3-8b', saying('and now?'));
    expect(answer).toMatchObject({ status: 200, model: PROVIDER, choices: [{ message: { content: 'from afar' } }] });
    expect(provider.asked).toEqual([expect.objectContaining({ model: 'llama-3.1-8b-instant' })]);
  });

  it('answers where no worker of the first choice is there, and where it fails before the first token', async () => {
    const local = await FakeWorker.start({
      ...serving('llama-3.3-8b'),
      script: () => ({ failure: { code: 'model_failed' } }),
    });
    await start(file, [local, serving(PROVIDER)]);
    expect(await ask('llama-3.3-8b')).toMatchObject({ status: 200, model: PROVIDER });
    local.die();
    expect(await ask('llama-3.3-8b', saying('again'))).toMatchObject({ status: 200, model: PROVIDER });
    expect(bed.records().map(({ model }) => model)).toEqual([PROVIDER, PROVIDER]);
  });

  it('does not answer for what is the request’s own fault', async () => {
    const refusing = { ...serving('llama-3.3-8b'), script: () => ({ failure: { code: 'context_length_exceeded' } }) };
    await start(file, [refusing, serving(PROVIDER)]);
    expect(await ask('llama-3.3-8b')).toMatchObject({ status: 400, error: { code: 'context_length_exceeded' } });
  });

  it('answers where the first choice’s own limit is reached, within its own limits; then that is a 429', async () => {
    const [local, provider] = file.models;
    const limited = {
      ...file,
      models: [
        { ...local!, limits: { requestsPerMinute: 2 } },
        { ...provider!, limits: { requestsPerMinute: 3 } },
      ],
    };
    await start(limited, [serving('llama-3.3-8b', PROVIDER)]);
    const answers: Answer[] = [];
    for (let number = 0; number < 7; number++) answers.push(await ask('llama-3.3-8b', saying(`${number}`)));
    expect(answers.map(({ status, model }) => model ?? status)).toEqual([
      'llama-3.3-8b',
      'llama-3.3-8b',
      PROVIDER,
      PROVIDER,
      PROVIDER,
      429,
      429,
    ]);
    expect(answers.at(-1)!.error!.message).toMatch(/^Rate limit reached for the model `.*` of all callers together/);
  });

  it('is counted where it comes into play later, and is passed over where its limit is reached', async () => {
    const [local, provider] = file.models;
    const chain = {
      ...file,
      models: [
        { ...local!, fallbacks: [PROVIDER, 'last'], limits: {} },
        { ...provider!, limits: { requestsPerMinute: 1 } },
        { ...provider!, id: 'last', limits: { requestsPerMinute: 1 } },
      ],
    };
    const broken = { ...serving('llama-3.3-8b'), script: () => ({ failure: { code: 'model_failed' } }) };
    await start(chain, [broken, serving(PROVIDER, 'last')]);
    expect(await ask('llama-3.3-8b', saying('1'))).toMatchObject({ model: PROVIDER });
    expect(await ask('llama-3.3-8b', saying('2'))).toMatchObject({ model: 'last' });
    // Why the first choice did not answer says more than that nobody had room to stand in.
    expect(await ask('llama-3.3-8b', saying('3'))).toMatchObject({
      status: expect.toSatisfy((status) => status >= 500),
    });
    // Each was counted once: the second found its limit reached, and was not counted for that.
    expect(await ask(PROVIDER, saying('4'))).toMatchObject({ status: 429 });
    expect(await ask('last', saying('5'))).toMatchObject({ status: 429 });
  });

  it('is counted once for each request that turns to it, also where everybody fails', async () => {
    const [local, provider] = file.models;
    const limits = { requestsPerMinute: 2 };
    const chain = {
      ...file,
      models: [
        { ...local!, fallbacks: [PROVIDER], limits: {} },
        { ...provider!, limits },
      ],
    };
    const broken = (id: string) => ({ ...serving(id), script: () => ({ failure: { code: 'model_failed' } }) });
    await start(chain, [broken('llama-3.3-8b'), broken(PROVIDER)]);
    for (const content of ['1', '2']) await ask('llama-3.3-8b', saying(content));
    expect(bed.workers[1]!.started).toHaveLength(2);
    await ask('llama-3.3-8b', saying('3'));
    expect(bed.workers[1]!.started).toHaveLength(2);
  });

  it('may be each other’s: each is asked once, and nobody in turn', async () => {
    const [local, provider] = file.models;
    const mutual = {
      ...file,
      models: [
        { ...local!, fallbacks: [PROVIDER], limits: {} },
        { ...provider!, fallbacks: ['llama-3.3-8b'], limits: {} },
      ],
    };
    const broken = (id: string) => ({ ...serving(id), script: () => ({ failure: { code: 'model_failed' } }) });
    await start(mutual, [broken('llama-3.3-8b'), serving(PROVIDER)]);
    expect(await ask('llama-3.3-8b', saying('1'))).toMatchObject({ model: PROVIDER });
    expect(await ask(PROVIDER, saying('2'))).toMatchObject({ model: PROVIDER });
    expect(bed.workers[0]!.started).toHaveLength(1);
    await bed[Symbol.asyncDispose]();
    await start(mutual, [broken('llama-3.3-8b'), broken(PROVIDER)]);
    expect((await ask('llama-3.3-8b', saying('3'))).status).toBeGreaterThanOrEqual(500);
    expect(bed.workers.map(({ started }) => started.length)).toEqual([1, 1]);
  });

  it('lets a request wait for whichever of them is ready first', async () => {
    const local = await FakeWorker.start({ ...serving('llama-3.3-8b'), state: 'loading' });
    const provider = await FakeWorker.start({ ...serving(PROVIDER), state: 'loading' });
    const models = new Edited(file);
    bed = await TestBed.start({ coldStartWaitMs: 10_000 }, [local, provider], false, '127.0.0.1', parts(models));
    await expect
      .poll(async () => (await fetch(`${bed.url}/health`)).json())
      .toMatchObject({
        workers: [{ state: 'loading' }, { state: 'loading' }],
      });
    const asked = ask('llama-3.3-8b');
    await new Promise((resolve) => setTimeout(resolve, 50));
    provider.state = 'ready';
    expect(await asked).toMatchObject({ status: 200, model: PROVIDER });
  });

  it('is named in the refusal where none of them is ready', async () => {
    const local = await FakeWorker.start(serving('llama-3.3-8b'));
    const provider = await FakeWorker.start(serving(PROVIDER));
    await start(file, [local, provider, serving('other')]);
    local.drain();
    provider.drain();
    await expect
      .poll(async () => (await ask('llama-3.3-8b', saying('now?'))).error?.message)
      .toMatch(
        /^No worker can serve the model `llama-3.3-8b` just now.* It is unavailable. Nor can what would stand in for it: `chat\/llama-small` is unavailable\./,
      );
  });
});

describe('caps and defaults', () => {
  const file = example('Caps and defaults');

  it.each([
    [
      { max_tokens: 1001 },
      'max_tokens',
      '`max_tokens` is 1001; answers of the model `llama-3.3-8b` may have 1000 tokens here.',
    ],
    [{ max_completion_tokens: 5000 }, 'max_completion_tokens', '`max_completion_tokens` is 5000; answers'],
    [{ n: 5 }, 'n', '`n` is 5; of the model `llama-3.3-8b` 4 may be asked for here.'],
    [
      saying('x'.repeat(200_000)),
      null,
      /^The body has 200,\d+ bytes; for the model `llama-3.3-8b` 200,000 are allowed here\./,
    ],
  ])('refuse what is more: %#', async (changes, param, message) => {
    await start(file, [serving('llama-3.3-8b')]);
    const expected = typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message);
    expect(await ask('llama-3.3-8b', changes)).toMatchObject({
      status: 400,
      error: { code: expect.anything(), param, message: expected },
    });
  });

  it('refuse best_of', async () => {
    await start(file, [serving('llama-3.3-8b')]);
    const response = await bed.post('/v1/completions', { model: 'llama-3.3-8b', prompt: 'a', best_of: 5 });
    expect(await response.json()).toMatchObject({ error: { param: 'best_of' } });
  });

  it('are what is asked for where nothing is, and an edit of them is in force at once', async () => {
    const inForce = await start(file, [serving('llama-3.3-8b')]);
    expect((await ask('llama-3.3-8b', { max_tokens: 1000, n: 4 })).status).toBe(200);
    await ask('llama-3.3-8b', saying('b'));
    await ask('llama-3.3-8b', { ...saying('c'), temperature: 1, max_tokens: 7 });
    const [entry] = file.models;
    inForce.current = { ...file, models: [{ ...entry!, defaults: { temperature: 0.9, maxTokens: 12 } }] };
    await ask('llama-3.3-8b', saying('d'));
    const asked = bed.worker.started.map(({ maxTokens, sampling }) => [maxTokens, sampling?.temperature?.toFixed(1)]);
    expect(asked.slice(1)).toEqual([
      [1000, '0.3'],
      [7, '1.0'],
      [12, '0.9'],
    ]);
  });

  it('keep a fallback that may be asked for less from standing in', async () => {
    const [entry] = file.models;
    const small = { ...entry!, id: 'small', caps: { maxTokens: 10 } };
    const chain = { ...file, models: [{ ...entry!, fallbacks: ['small'] }, small] };
    const broken = { ...serving('llama-3.3-8b'), script: () => ({ failure: { code: 'model_failed' } }) };
    await start(chain, [broken, serving('small')]);
    expect((await ask('llama-3.3-8b', { max_tokens: 11 })).status).toBeGreaterThanOrEqual(500);
    expect(await ask('llama-3.3-8b', { max_tokens: 10 })).toMatchObject({ status: 200, model: 'small' });
    // The length of whoever answers, where none is asked for.
    expect(await ask('llama-3.3-8b', saying('no length'))).toMatchObject({ status: 200, model: 'small' });
    expect(bed.workers[1]!.started.at(-1)!.maxTokens).toBe(10);
  });
});

describe('a key', () => {
  const allowed = (...names: string[]): Authenticator => ({
    ...EVERYBODY,
    authenticate: () => ({ ...ANYONE, keyId: 'k', keyName: 'k', models: names }),
  });
  const TUNED = 'llama-3.3-8b-tuned';

  it('that may ask for an alias is answered by what it stands for, and not under that one’s own name', async () => {
    await start(example('A canary'), [serving('llama-3.3-8b', TUNED)], {}, allowed('chat'));
    const answered = new Set<string | undefined>();
    for (let number = 0; number < 60; number++) answered.add((await ask('chat', saying(`${number}`))).model);
    expect(answered).toEqual(new Set(['llama-3.3-8b', TUNED]));
    expect(await ask(TUNED)).toMatchObject({ status: 403, error: { code: 'model_not_allowed' } });
    expect((await models()).map(({ id }) => id)).toEqual(['chat']);
    expect((await fetch(`${bed.url}/v1/models/${TUNED}`)).status).toBe(403);
  });

  it('that may ask for all that an alias leads to may ask for the alias; with less it may not', async () => {
    await start(example('A canary'), [serving('llama-3.3-8b', TUNED)], {}, allowed('llama-*'));
    expect(await ask('chat')).toMatchObject({ status: 200 });
    await bed[Symbol.asyncDispose]();
    await start(example('A canary'), [serving('llama-3.3-8b', TUNED)], {}, allowed('llama-3.3-8b'));
    expect(await ask('chat')).toMatchObject({ status: 403, error: { message: expect.stringContaining('`chat`') } });
    expect((await models()).map(({ id }) => id)).toEqual(['llama-3.3-8b']);
  });

  it('is not told by a suggestion what it may not ask for', async () => {
    await start(example('A canary'), [serving('llama-3.3-8b', TUNED)], {}, allowed('chat'));
    expect((await ask('llama-3.3-8b-tune')).error?.message).not.toContain('Did you mean');
  });
});
