import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KEY, startKeyedGateway } from './keyed-gateway.testing.js';

/** What comes back is one whole answer after another, as RFC 9112 has them; throws where it is not. */
function answersIn(bytes: Buffer): { readonly status: number; readonly body: string }[] {
  const text = bytes.toString('latin1');
  const answers = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\r\n\r\n', at);
    const head = text.slice(at, end);
    const [, status] =
      /^HTTP\/1\.1 ([1-5]\d\d) [ -~]*(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\t -~\x80-\xff]*)*$/.exec(head) ?? [];
    if (end === -1 || status === undefined) throw new Error(`no answer: ${JSON.stringify(text.slice(at, at + 300))}`);
    // As on HEAD: the length is that of a body which is not sent.
    const bodiless = status === '100' || end + 4 === text.length || text.startsWith('HTTP/1.1 ', end + 4);
    const length = bodiless ? 0 : Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? Number.NaN);
    const bodyEnd = end + 4 + length;
    if (!(bodyEnd <= text.length)) {
      throw new Error(`an answer without its end: ${JSON.stringify(text.slice(at, at + 300))}`);
    }
    answers.push({ status: Number(status), body: text.slice(end + 4, bodyEnd) });
    at = bodyEnd;
  }
  return answers;
}

/** Sends the pieces, each in a packet of its own, ends its half, and gives back all that came until the connection was closed. */
async function exchange(port: number, pieces: readonly Uint8Array[]): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const received: Buffer[] = [];
  socket.on('data', (data) => received.push(data));
  socket.on('error', () => {}); // Closed while we still wrote.
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await Promise.race([once(socket, 'connect').catch(() => {}), closed]);
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await closed;
  return Buffer.concat(received);
}

const QUESTION = '{"messages":[{"role":"user","content":"hi"}]}';
const ascii = (text: string) => Buffer.from(text, 'latin1');

const bytes = fc.uint8Array({ maxLength: 200 });
/** Mostly `common`, so that what is strange elsewhere in a request is got to. */
const mostly = <T>(common: fc.Arbitrary<T>, strange: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 9, arbitrary: common }, { weight: 1, arbitrary: strange });

const line = mostly(
  fc.constantFrom(
    ...[
      'accept: */*',
      'connection: close',
      'content-type: application/json',
      'x-request-id: a',
      'expect: 100-continue',
    ],
    ...[
      'te: trailers',
      'cookie: a=b',
      'authorization: Bearer sk-mr-x',
      `authorization: basic ${KEY}`,
      'x-api-key: \u00ff',
    ],
    ...['content-type: text/plain', 'content-encoding: br', 'x-millrace-deadline-ms: 1e3', 'origin: https://a.example'],
    ...['content-length: 0', `content-length: ${QUESTION.length}`, 'transfer-encoding: chunked', 'expect: x'],
  ),
  fc.oneof(
    fc.constantFrom('', ' ', '\t', '\0', '\r', ': ', 'host: y', 'connection: upgrade', 'upgrade: websocket'),
    fc.constantFrom('transfer-encoding: gzip', 'content-length: -1', 'content-length: 99999999999999999999'),
    fc.string({ unit: 'binary-ascii', maxLength: 40 }),
  ),
);
const target = mostly(
  fc.constantFrom(
    ...[
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/models',
      '/v1/models/demo',
      '/tokenize',
      '/admin/keys',
      '/nowhere',
    ],
    ...['/v1/models/%00', '/%', '/v1/models?a=%zz', '//', '/v1/chat/completions/', '/docs/x', '/healthz'],
  ),
  fc.oneof(fc.constantFrom('*', 'x:1', '', '/\u00e9'), fc.string({ unit: 'binary-ascii', maxLength: 30 })),
);
const method = mostly(
  fc.constantFrom('GET', 'POST', 'HEAD', 'OPTIONS', 'DELETE'),
  fc.constantFrom('CONNECT', 'TRACE', 'PRI', 'get', '\0'),
);
const version = mostly(
  fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'),
  fc.constantFrom('HTTP/2.0', 'HTTP/0.9', 'HTP/1.1', 'HTTP/1.1 '),
);
const body = fc.oneof(
  fc.constantFrom(
    '',
    QUESTION,
    `${QUESTION}\r\n0\r\n\r\n`,
    '5\r\nhello\r\n0\r\n\r\n',
    'ffffffffffffffff\r\n',
    '-1\r\n',
  ),
  bytes.map((some) => Buffer.from(some).toString('latin1')),
);
const lineEnd = mostly(fc.constant('\r\n'), fc.constantFrom('\n', '\r'));

/** Nearly HTTP: far more of the gateway is reached so than by bytes at random. */
const almostRequest = fc
  .tuple(method, target, version, fc.array(line, { maxLength: 4 }), lineEnd, body)
  .map(([verb, path, http, lines, end, rest]) =>
    ascii([`${verb} ${path} ${http}`, 'host: x', ...lines, '', rest].join(end)),
  );

const whole = ascii(
  `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${QUESTION.length}\r\n\r\n${QUESTION}`,
);
/** A good request in which some bytes were changed. */
const damagedRequest = fc
  .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
  .map((changes) => {
    const damaged = Buffer.from(whole);
    for (const [at, byte] of changes) damaged[at] = byte;
    return damaged;
  });

const conversation = fc
  .array(
    fc.oneof(
      bytes.map((some) => Buffer.from(some)),
      almostRequest,
      damagedRequest,
    ),
    { minLength: 1, maxLength: 3 },
  )
  .chain((parts) => {
    const all = Buffer.concat(parts);
    // Cut into packets anywhere.
    return fc.array(fc.nat(all.length), { maxLength: 4 }).map((cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), all.length];
      return places.slice(1).map((end, index) => all.subarray(places[index], end));
    });
  });

describe('bytes of any kind from somebody without a key', () => {
  let bed: Awaited<ReturnType<typeof startKeyedGateway>>;
  const uncaught: unknown[] = [];
  const remember = (error: unknown) => void uncaught.push(error);
  beforeAll(async () => {
    process.on('uncaughtExceptionMonitor', remember);
    bed = await startKeyedGateway({ bodyTimeoutMs: 500 });
  });
  afterAll(async () => {
    process.off('uncaughtExceptionMonitor', remember);
    await bed[Symbol.asyncDispose]();
  });

  it('get whole answers or none, and never one that wanted a key', async () => {
    await fc.assert(
      fc.asyncProperty(conversation, async (pieces) => {
        for (const { status, body: said } of answersIn(await exchange(bed.port, pieces))) {
          expect(status).toBeLessThan(500);
          expect(said).not.toMatch(/chat\.completion|"object":"list"|"tokens"/);
          if (status >= 400 && said !== '')
            expect(JSON.parse(said)).toMatchObject({ error: { message: expect.any(String) } });
        }
      }),
      { numRuns: 3_000, seed: 4 },
    );
    expect(bed.worker.started).toEqual([]);
    expect(uncaught).toEqual([]);
    expect(bed.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  }, 60_000);

  it('leave the gateway as it was', async () => {
    const answer = await fetch(`${bed.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: QUESTION,
    });
    expect(answer.status).toBe(200);
  });
});
