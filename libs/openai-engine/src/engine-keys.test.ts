import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  collect,
  delta,
  event,
  FOREVER,
  failureOf,
  HELLO,
  json,
  openEngine,
  type Play,
  page,
  request,
  startUpstream,
  stream,
  until,
} from './upstream.testing.js';

const KEY = 'sk-proj-Zx81kQ0aPw7TtE5rLm29';
const environment = { OPENAI_API_KEY: KEY };
const upstreamOptions = { preset: 'openai', retriesMax: 0 } as const;

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function upstreamOf(plays: Play | Play[], onModels?: Play) {
  const upstream = await startUpstream(plays, onModels);
  opened.push(() => upstream.close());
  return upstream;
}

async function open(...args: Parameters<typeof openEngine>) {
  const test = await openEngine(...args);
  opened.push(() => test.engine.close());
  return test;
}

/** Everything that could be told of a value, and of what caused it. */
const toldOf = (value: unknown) =>
  inspect(value, { depth: 20, showHidden: true, maxStringLength: null }) + bytesIn(value);

/** Bytes that a value or what caused it carries along, as a text. */
function bytesIn(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  const { cause } = value as { cause?: unknown };
  return `${Object.values(value).filter(Buffer.isBuffer).join()}${bytesIn(cause)}`;
}

describe('the key', () => {
  it('goes to the server, with the ping as with an answer', async () => {
    const seen: (string | undefined)[] = [];
    const upstream = await upstreamOf(stream(HELLO), (response, call) => {
      seen.push(call.headers.authorization);
      return json(200, { data: [{ id: 'm' }] })(response, call);
    });
    const { engine } = await open(upstream.url, { upstream: upstreamOptions, environment });
    await collect(engine.answer(request(), FOREVER));

    expect(seen).toEqual([`Bearer ${KEY}`]);
    expect(upstream.calls[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('may come from a variable of the operator’s choice', async () => {
    const upstream = await upstreamOf(stream(HELLO));
    const { engine } = await open(upstream.url, {
      upstream: { preset: 'vllm', apiKeyEnv: 'MY_KEY' },
      environment: { MY_KEY: ` ${KEY}\n`, VLLM_API_KEY: 'other' },
    });
    await collect(engine.answer(request(), FOREVER));

    expect(upstream.calls[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it.each([
    ['openai', {}, undefined, /OPENAI_API_KEY/],
    ['groq', { GROQ_API_KEY: ' ' }, undefined, /GROQ_API_KEY/],
    ['fireworks', {}, undefined, /FIREWORKS_API_KEY/],
    ['vllm', {}, 'MY_KEY', /MY_KEY/],
    ['openai', { OPENAI_API_KEY: 'two words' }, undefined, /OPENAI_API_KEY holds no key/],
  ] as const)('that is missing is named at once: %s', async (preset, given, apiKeyEnv, sentence) => {
    const upstream = await upstreamOf(stream(HELLO));
    const error = await openEngine(upstream.url, {
      upstream: { preset, apiKeyEnv },
      environment: given,
    }).catch((thrown: unknown) => thrown);

    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(sentence);
    expect((error as Error).message).not.toContain('two words');
  });

  it.each([401, 403])('that is refused is an error at the start: %i', async (status) => {
    const upstream = await upstreamOf(
      stream(HELLO),
      json(status, { error: { message: `Incorrect API key provided: ${KEY}` } }),
    );
    const error = await openEngine(upstream.url, { upstream: upstreamOptions, environment }).catch(
      (thrown: unknown) => thrown,
    );

    expect((error as Error).message).toMatch(/refuses the key it was given\. Put a valid one into OPENAI_API_KEY/);
    expect(toldOf(error)).not.toContain(KEY);
    await until(() => upstream.sockets === 0);
  });

  it('is in no error, log line or description, though the server tells it to everyone', async () => {
    const echo = `Incorrect API key provided: ${KEY}. You sent "Bearer ${KEY}"; also ${KEY.slice(0, 14)}…`;
    const upstream = await upstreamOf(
      [
        json(400, { error: { message: echo, type: KEY, code: KEY, param: KEY } }),
        json(500, { error: echo }),
        json(401, { detail: echo }),
        json(422, { detail: [{ msg: echo }] }),
        json(429, { error: { message: 'x'.repeat(480) + echo } }),
        page(500, echo, 'text/plain'),
        page(200, `<html>${echo}</html>`),
        stream(event({ error: { message: echo, code: 500 } })),
        stream(event(delta({ content: 'a' })) + event({ error: echo })),
        stream(`data: ${echo}\n\n`),
        (response) => void response.destroy(),
        (response) => void response.writeHead(500, `Bad ${KEY}`).end(),
        (response) => void response.writeHead(307, { location: `http://127.0.0.1:1/?key=${KEY}` }).end(),
        (response) => void response.writeHead(200, { 'content-encoding': KEY }).end(),
        (response) => void response.socket?.end(`HTTP/1.1 200 OK\r\n${KEY}\r\n\r\n`),
      ],
      json(200, { data: [{ id: `other-${KEY}` }] }),
    );
    const { engine, told } = await open(upstream.url, { upstream: upstreamOptions, environment });
    const errors: unknown[] = [];
    for (let count = 0; count < 15; count++) errors.push(await failureOf(engine.answer(request(), FOREVER)));

    expect(upstream.calls).toHaveLength(15);
    const everything = [
      ...errors.map(toldOf),
      ...told,
      toldOf(engine.describe()),
      toldOf(engine),
      JSON.stringify(engine.describe()),
    ].join('\n');
    // Some of it is there, so that this can fail.
    expect(everything).toContain('Incorrect API key provided: ***');
    expect(told.length).toBeGreaterThanOrEqual(3);
    expect(everything).not.toContain(KEY);
    expect(everything).not.toContain(KEY.slice(0, 12));
  });

  it('is not taken along to where a server points', async () => {
    const other = await upstreamOf(stream(HELLO));
    const upstream = await upstreamOf((response) => void response.writeHead(308, { location: other.url }).end());
    const { engine } = await open(upstream.url, { upstream: upstreamOptions, environment });
    await failureOf(engine.answer(request(), FOREVER));

    expect(other.calls).toEqual([]);
  });

  it('is not told to a proxy', async () => {
    const seen: string[] = [];
    const proxy = createServer().listen(0, '127.0.0.1');
    proxy.on('connect', (asked: IncomingMessage, socket: Socket) => {
      seen.push(`${asked.method} ${asked.url} ${JSON.stringify(asked.headers)}`);
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    await once(proxy, 'listening');
    opened.push(async () => void proxy.close());
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const { engine, told } = await open(undefined, {
      upstream: upstreamOptions,
      environment: { ...environment, HTTPS_PROXY: address },
    });

    expect(seen).toEqual([expect.stringMatching(/^CONNECT api\.openai\.com:443 /)]);
    expect(seen[0]).not.toContain(KEY);
    expect(told).toEqual([expect.stringMatching(/is away/)]);
    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({ code: 'model_not_ready' });
  });

  it('does not belong into the address', async () => {
    await expect(openEngine(`http://me:${KEY}@127.0.0.1:1/v1`)).rejects.toThrow(/has a key in it/);
    await expect(openEngine(`http://127.0.0.1:1/v1?key=${KEY}`)).rejects.toThrow(/from \? or # on/);
    await expect(openEngine(`http://127.0.0.1:1/v1?key=${KEY}`)).rejects.not.toThrow(KEY);
  });
});

describe('a server is greeted', () => {
  it('and tells how long its context is, in its own word for it', async () => {
    for (const told of [
      { max_model_len: 4_000 },
      { context_window: 4_000 },
      { context_length: 4_000 },
      { meta: { n_ctx: 4_000 } },
    ]) {
      const upstream = await upstreamOf(stream(HELLO), json(200, { data: [{ id: 'other' }, { id: 'm', ...told }] }));
      const { engine } = await open(upstream.url, { model: { contextLength: undefined } });
      expect(engine.describe()).toMatchObject({ id: 'm', contextLength: 4_000, engine: 'openai-compatible: generic' });
    }
  });

  it('the models file knows better', async () => {
    const upstream = await upstreamOf(stream(HELLO), json(200, { data: [{ id: 'm', max_model_len: 4_000 }] }));
    const { engine } = await open(upstream.url, { model: { contextLength: 99 } });
    expect(engine.describe().contextLength).toBe(99);
  });

  it('is waited for while it loads, and that is said once', async () => {
    let asked = 0;
    const upstream = await upstreamOf(stream(HELLO), (response, call) => {
      const loading = ++asked < 3;
      const play = loading ? json(503, { error: { message: 'Loading model', code: 503 } }) : json(200, { data: [] });
      return play(response, call);
    });
    const { told } = await open(upstream.url, { upstream: { preset: 'llama-server' } });

    expect(asked).toBe(3);
    expect(told).toEqual([expect.stringMatching(/is loading its model/)]);
  });

  it('is opened all the same while it is away', async () => {
    const gone = await startUpstream(stream(HELLO));
    await gone.close();
    const { engine, told } = await open(gone.url);

    expect(told).toEqual([expect.stringMatching(/is away: .*ECONNREFUSED/)]);
    expect(engine.describe().id).toBe('m');
  });

  it('is opened all the same where it has no such list', async () => {
    const upstream = await upstreamOf(stream(HELLO), page(404, 'not found'));
    const { engine, told } = await open(upstream.url);

    expect(told).toEqual([]);
    expect((await collect(engine.answer(request(), FOREVER))).text).toBe('Hello');
  });

  it('is reported where it has other models', async () => {
    const upstream = await upstreamOf(stream(HELLO), json(200, { data: [{ id: 'a' }, { id: 'b' }] }));
    const { told } = await open(upstream.url, { upstream: { preset: 'ollama' } });

    expect(told).toEqual([expect.stringMatching(/lists no model "m"; it has a, b\./)]);
  });

  it.each<[string, Play, RegExp]>([
    ['a page', page(200, '<html>Welcome to nginx</html>'), /no JSON\. Is `upstream\.url` right/],
    ['a redirect', (response) => void response.writeHead(308, { location: '/' }).end(), /status 308/],
  ])('is reported where it answers with something else: %s', async (_name, play, sentence) => {
    const upstream = await upstreamOf(stream(HELLO), play);
    const { told } = await open(upstream.url);

    expect(told).toEqual([expect.stringMatching(sentence)]);
  });

  it('needs an address, unless its kind has one', async () => {
    await expect(openEngine(undefined)).rejects.toThrow(/needs `upstream.url`/);
  });

  it('is told of defaults that it does not know', async () => {
    const upstream = await upstreamOf(stream(HELLO));
    const { told } = await open(upstream.url, { model: { samplingDefaults: { temperature: 0.5, topK: 40, minP: 0 } } });

    expect(told).toEqual([expect.stringMatching(/doesn't know top_k;/)]);
  });
});
