import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawExchange } from './gateway.testing.js';
import { KEY, sendHundredMib, startKeyedGateway } from './keyed-gateway.testing.js';

/** Somebody without a key, who would like an answer all the same. */
type Bed = Awaited<ReturnType<typeof startKeyedGateway>>;

const question = '{"messages":[{"role":"user","content":"let me in"}]}';
const MIB = 1024 * 1024;

function request(headers: readonly string[], body = question, line = 'POST /v1/chat/completions HTTP/1.1'): string {
  const all = ['host: x', 'content-type: application/json', 'connection: close', ...headers];
  return `${[line, ...all, `content-length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`;
}
const statusOf = (answer: string) => Number(answer.match(/^HTTP\/1\.1 (\d+)/)?.[1]);
const codeOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)).error.code as string;

describe('a stranger', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await startKeyedGateway({ bodyTimeoutMs: 1_000 });
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  it.each([
    ['no key', []],
    ['an empty key', ['authorization: Bearer ']],
    ['only the scheme', ['authorization: Bearer']],
    ['another scheme', [`authorization: Basic ${Buffer.from(`x:${KEY}`).toString('base64')}`]],
    ['half a key', [`authorization: Bearer ${KEY.slice(0, -1)}`]],
    ['a key and more', [`authorization: Bearer ${KEY}x`]],
    ['two keys in one header', [`authorization: Bearer ${KEY} ${KEY}`]],
    ['the key in another case', [`authorization: Bearer ${KEY.toUpperCase()}`]],
    ['SQL instead of a key', [`authorization: Bearer '/**/OR/**/1=1;--`]],
    ['SQL in x-api-key', [`x-api-key: ' OR 1=1; DROP TABLE api_keys; --`]],
    ['a name that every object has', ['x-api-key: __proto__']],
    ['8-bit characters', ['authorization: Bearer \u00fc\u00ff']],
    ['a local address by proxy', ['x-forwarded-for: 127.0.0.1', 'forwarded: for=127.0.0.1', 'x-real-ip: 127.0.0.1']],
    ['a local address, several times', ['x-forwarded-for: 127.0.0.1', 'x-forwarded-for: ::1, 127.0.0.1']],
    ['another host by proxy', ['x-forwarded-host: localhost', 'x-forwarded-proto: https', 'x-original-url: /healthz']],
    ['another method and path by header', ['x-http-method-override: GET', 'x-rewrite-url: /healthz']],
    ['an id of a caller', ['x-millrace-key-id: known', 'x-user: known', 'x-consumer-id: known']],
  ])('is a 401 with %s', async (_what, headers) => {
    const answer = await rawExchange(bed.port, request(headers));
    expect([statusOf(answer), codeOf(answer)]).toEqual([401, 'invalid_api_key']);
  });

  it.each(['localhost', '127.0.0.1', '[::1]', 'gateway.internal', ''])(
    // %j is the host that is claimed.
    'is a 401 whatever host it names: %j',
    async (host) => {
      const answer = await rawExchange(bed.port, request([]).replace('host: x', `host: ${host}`));
      expect(statusOf(answer)).toBe(401);
    },
  );

  it.each([
    '/v1/../healthz/../v1/models',
    '//v1/models',
    '/admin/keys',
    '/%61dmin/keys',
    '//admin/keys',
    '/docs/../admin/keys',
    'http://x/admin/keys',
    '/v1/models/',
    '/v1/models?/healthz',
    '/V1/models',
    '/%761/models',
    '/v1%2fmodels',
    '/healthz/../v1/models',
    '/docs/../v1/models',
    '/docs/%2e%2e/v1/models',
    '/docs/..%2fv1/models',
    '/health/v1/models',
    '/metrics/../v1/models',
    'http://x/v1/models',
    'http://x/healthz/../v1/models',
  ])('reads nothing by a path that looks open: %s', async (path) => {
    const answer = await rawExchange(bed.port, request([], '', `GET ${path} HTTP/1.1`));
    expect([400, 401, 404]).toContain(statusOf(answer));
    expect(answer).not.toContain('"object":"list"');
  });

  it('with NUL, CR or LF in its key or id is refused as no HTTP at all', async () => {
    for (const name of ['authorization', 'x-api-key', 'x-request-id', 'traceparent', 'x-millrace-deadline-ms']) {
      for (const evil of ['a\0b', 'a\rb', 'a\nb']) {
        const answer = await rawExchange(bed.port, request([`${name}: ${evil}`]));
        expect(statusOf(answer), JSON.stringify(`${name}: ${evil}`)).toBe(400);
      }
    }
  });

  it('with a key of a megabyte is a 431 in OpenAI’s shape', async () => {
    for (const name of ['authorization: Bearer ', 'x-api-key: ', 'x-request-id: ', 'cookie: ']) {
      const answer = await rawExchange(bed.port, request([name + 'k'.repeat(MIB)]));
      expect([statusOf(answer), codeOf(answer)], name).toEqual([431, 'invalid_request']);
    }
    const answer = await rawExchange(bed.port, request([`authorization: Bearer ${'k'.repeat(12_000)}`]));
    expect(statusOf(answer)).toBe(401); // Short enough to be read, and still no key.
  });

  it('who declares 100 MB gets its 401 before it has sent any of them', async () => {
    const socket = connect(bed.port, '127.0.0.1');
    const head = request([]).replace(/content-length: \d+/, `content-length: ${100 * MIB}`);
    socket.write(head.slice(0, head.indexOf('\r\n\r\n') + 4));
    const [answer] = await once(socket, 'data');
    expect(statusOf(String(answer))).toBe(401);
    socket.destroy();
  });

  it.each(['declared', 'chunked'] as const)('who sends 100 MB all the same has none of it kept: %s', async (how) => {
    const head = request([]).replace(/content-length: [\s\S]*/, '');
    const { said, moreBytes } = await sendHundredMib(bed.port, head, how);
    expect(statusOf(said)).toBe(401);
    expect(moreBytes).toBeLessThan(16 * MIB);
  });

  it('who has sent none of its body holds its connection for no longer than bodyTimeoutMs', async () => {
    const head = request([], 'x'.repeat(50)).replace('connection: close\r\n', '');
    const answer = await rawExchange(bed.port, head.slice(0, -50));
    expect(statusOf(answer)).toBe(401);
  });

  it('reaches no worker, is recorded as rejected, and its words stand nowhere', () => {
    expect(bed.worker.started).toEqual([]);
    const outcomes = new Set(bed.records().map(({ outcome }) => outcome));
    expect([...outcomes]).toEqual(['rejected']);
    expect(JSON.stringify(bed.log)).not.toMatch(/let me in|sk-mr|DROP TABLE|kkkk/);
  });

  it('learns whether the gateway is alive, and nothing of its models without a key', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics']) expect((await fetch(bed.url + path)).status).toBe(200);
    for (const path of ['/v1/models', '/v1/models/demo', '/tokenize', '/v1/nowhere']) {
      expect([401, 404, 405], path).toContain((await fetch(bed.url + path)).status);
    }
  });

  it('does not keep whoever has a key from an answer', async () => {
    for (const header of [`authorization: Bearer ${KEY}`, `Authorization:   bearer   ${KEY}  `, `x-api-key: ${KEY}`]) {
      expect(statusOf(await rawExchange(bed.port, request([header])))).toBe(200);
    }
  });
});
