import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { rawExchange } from './gateway.testing.js';
import { KEY, sendHundredMib, startKeyedGateway } from './keyed-gateway.testing.js';
import { GATEWAY_METRICS } from './metrics/declarations.js';

const question = '{"messages":[{"role":"user","content":"hi"}]}';
/** In latin1, as bytes of a header are; several may have the same name. */
function request(headers: readonly (readonly [string, string])[], body = question): string {
  const all = [
    ['host', 'x'],
    ['authorization', `Bearer ${KEY}`],
    ['content-type', 'application/json'],
    ['connection', 'close'],
    ['content-length', String(body.length)],
    ...headers,
  ];
  return `POST /v1/chat/completions HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n${body}`;
}

function parsed(answer: string) {
  const end = answer.indexOf('\r\n\r\n');
  const [line, ...rest] = answer.slice(0, end).split('\r\n');
  const headers = rest.map((header) => [
    header.slice(0, header.indexOf(':')).toLowerCase(),
    header.slice(header.indexOf(':') + 2),
  ]);
  return {
    status: Number(line!.split(' ')[1]),
    names: headers.map(([name]) => name!),
    headers: Object.fromEntries(headers),
    body: answer.slice(end + 4),
  };
}

/** Every header that a whole answer or a refusal may have; whatever else stands there was smuggled in. */
const KNOWN =
  /^(x-request-id|content-type|content-length|date|connection|keep-alive|vary|retry-after|allow|www-authenticate|cache-control|access-control-[a-z-]+|x-should-retry|x-ratelimit-[a-z-]+|x-millrace-(overhead-ms|limit))$/;

/** What is looked at, echoed or passed on, and what proxies make of who asks. */
const LOOKED_AT = [
  'x-request-id',
  'traceparent',
  'tracestate',
  'baggage',
  'x-millrace-deadline-ms',
  'x-millrace-limit',
  'x-api-key',
  'origin',
  'accept',
  'content-encoding',
  'x-forwarded-for',
  'x-forwarded-host',
  'forwarded',
  'x-real-ip',
  'via',
  'user-agent',
  'openai-organization',
  'cookie',
  'range',
  'if-none-match',
  'upgrade',
  'te',
  'prefer',
];

type Bed = Awaited<ReturnType<typeof startKeyedGateway>>;

describe('a header that somebody made up', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await startKeyedGateway({ corsOrigins: ['https://a.example'] });
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  it('adds nothing to any answer, whatever it holds', async () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary-ascii', maxLength: 60 }),
      fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 300 }),
      fc.constantFrom(
        '\u010a\u010dset-cookie: a=b',
        '%0d%0aset-cookie:%20a=b',
        '\\r\\nx: y',
        'a\tb',
        '\u00ff'.repeat(200),
        '$\u007bjndi:ldap://x}',
        '{{7*7}}',
        "'; DROP TABLE requests; --",
      ),
    );
    const headers = fc.array(fc.tuple(fc.constantFrom(...LOOKED_AT), value), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(headers, async (given) => {
        const { status, names, headers: told } = parsed(await rawExchange(bed.port, request(given)));
        expect([200, 400, 401, 403, 415, 417, 426, 431]).toContain(status);
        for (const name of names) expect(name).toMatch(KNOWN);
        expect(new Set(names).size).toBe(names.length);
        expect(told['x-request-id']).toMatch(/^[\x21-\x7e]{1,128}$/);
      }),
      { numRuns: 300, seed: 20_261_121 },
    );
  });

  it('reaches a worker only as an id and a trace that are sane', async () => {
    const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const given = [
      [
        ['x-request-id', 'a b'],
        ['traceparent', `${trace}x`],
      ],
      [
        ['x-request-id', 'a'],
        ['x-request-id', 'b'],
        ['traceparent', trace],
        ['traceparent', trace],
      ],
      [
        ['x-request-id', '\u00e9'],
        ['traceparent', trace.toUpperCase()],
        ['tracestate', 'x'.repeat(600)],
      ],
      [
        ['x-request-id', 'x'.repeat(4_000)],
        ['traceparent', trace + '-'.repeat(8_000)],
      ],
      [
        ['x-request-id', "';DROP/**/TABLE"],
        ['traceparent', trace],
        ['tracestate', 'v=1'],
      ],
    ] as const;
    const before = bed.worker.started.length;
    for (const headers of given) expect(parsed(await rawExchange(bed.port, request(headers))).status).toBe(200);
    const started = bed.worker.started.slice(before);
    for (const { requestId } of started.slice(0, 4)) expect(requestId).toMatch(/^req_[0-9a-f]{24}$/);
    expect(started.map(({ traceparent }) => traceparent)).toEqual(['', '', '', '', trace]);
    expect(started.at(-1)).toMatchObject({ requestId: "';DROP/**/TABLE", tracestate: 'v=1' });
  });

  it('can not make another kind of answer of it', async () => {
    const told = async (headers: readonly (readonly [string, string])[]) =>
      parsed(await rawExchange(bed.port, request(headers)));
    expect((await told([['x-millrace-deadline-ms', '1e9']])).status).toBe(400);
    expect((await told([['x-millrace-deadline-ms', '-1']])).status).toBe(400);
    expect(
      (
        await told([
          ['x-millrace-deadline-ms', '5'],
          ['x-millrace-deadline-ms', '6'],
        ])
      ).status,
    ).toBe(400);
    expect((await told([['x-http-method-override', 'DELETE']])).status).toBe(200);
    expect((await told([['origin', 'null']])).headers['access-control-allow-origin']).not.toBe('null');
    expect(
      (
        await told([
          ['upgrade', 'h2c'],
          ['http2-settings', 'AAMAAABkAARAAAAAAAIAAAAA'],
        ])
      ).status,
    ).not.toBe(101);
    expect((await told([['transfer-encoding', 'chunked']])).status).toBe(400); // With a length as well: smuggling.
    expect((await told([['content-length', '4']])).status).toBe(400); // A second, other one.
    expect((await told([['transfer-encoding ', 'chunked']])).status).toBe(400);
  });

  it('does not pass a second request off as part of the first', async () => {
    const smuggled = 'GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    const answer = await rawExchange(
      bed.port,
      `${request([]).replace('connection: close', 'connection: keep-alive')}${smuggled}`,
    );
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(['200', '401']); // The key was that of the first alone.
  });
});

describe('a body of a hundred megabytes from somebody with a key', () => {
  it.each(['declared', 'chunked'] as const)('is a 413, and no more of it is kept than is allowed: %s', async (how) => {
    await using bed = await startKeyedGateway();
    const head = request([]).replace(/content-length: \d+[\s\S]*/, '');
    const { said, moreBytes } = await sendHundredMib(bed.port, head, how);
    expect(parsed(said)).toMatchObject({ status: 413, body: expect.stringContaining('"code":"request_too_large"') });
    // 16 MiB are allowed. The rest is this test's own: its client is in the same process, and memory is freed when it suits.
    expect(moreBytes).toBeLessThan(40 * 1024 * 1024);
    expect((await fetch(`${bed.url}/healthz`)).status).toBe(200);
  });
});

describe('a client that goes on sending after it was refused', () => {
  it.each([
    ['too much', KEY, 413],
    ['without a key', 'sk-mr-nobody', 401],
  ])('sees its answer, and no reset, when its connection closes: %s', async (_what, key, status) => {
    await using bed = await startKeyedGateway({ bodyBytesMax: 1024 });
    const head = request([['transfer-encoding', 'chunked']])
      .replace(KEY, key)
      .replace(/content-length: \d+\r\n/, '');
    const socket = connect({ port: bed.port, host: '127.0.0.1', allowHalfOpen: true });
    const errors: Error[] = [];
    let said = '';
    socket.on('error', (error) => errors.push(error)).on('data', (data) => (said += data));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`;
    socket.write(head.slice(0, head.indexOf('\r\n\r\n') + 4) + chunk);
    await vi.waitFor(() => expect(said).toContain('}'));
    for (let sent = 0; sent < 10 && !socket.destroyed; sent++) {
      socket.write(chunk);
      await setTimeout(10);
    }
    socket.end('0\r\n\r\n');
    await closed;
    expect(errors).toEqual([]);
    expect(parsed(said)).toMatchObject({ status, headers: { connection: 'close' } });
  });

  it('is cut off after bodyTimeoutMs', async () => {
    await using bed = await startKeyedGateway({ bodyBytesMax: 1024, bodyTimeoutMs: 300 });
    const socket = connect({ port: bed.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {}).resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const head = request([['content-length', '1000000']]).replace(/content-length: \d+\r\n/, '');
    socket.write(head.slice(0, head.indexOf('\r\n\r\n') + 4));
    const timer = setInterval(() => socket.write(' '), 20);
    await closed;
    clearInterval(timer);
  });
});

describe('the page of metrics', () => {
  it('has nothing that is not declared, with the labels that are', async () => {
    await using bed = await startKeyedGateway();
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
    for (const path of ['/v1/chat/completions', '/nowhere']) {
      await (await fetch(bed.url + path, { method: 'POST', headers, body: question })).text();
    }
    const inProse = (name: string) => name.replaceAll('.', '_');
    const declared = new Map(GATEWAY_METRICS.map(({ name, labels }) => [inProse(name), labels.map(inProse)]));
    const added = ['le', 'otel_scope_name'];
    const page = await (await fetch(`${bed.url}/metrics`)).text();
    const lines = page
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('target_info'));
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) {
      const [, full, labels] = /^(\w+)\{(.*)\} \S+$/.exec(line)!;
      const part = /_(bucket|sum|count)$/;
      // OpenTelemetry's own names have no unit; Prometheus wants one.
      const name = [full!, full!.replace(part, ''), full!.replace(part, '').replace(/_seconds$/, '')].find((one) =>
        declared.has(one),
      );
      expect(name, line).toBeDefined();
      const names = [...labels!.matchAll(/(\w+)="/g)].map(([, label]) => label!);
      expect([...declared.get(name!)!, ...added], line).toEqual(expect.arrayContaining(names));
    }
  });
});

describe('a million names', () => {
  it('make no series: what is asked for, by whom and from where stands in no label', async () => {
    await using bed = await startKeyedGateway();
    const series = async () => {
      const page = await (await fetch(`${bed.url}/metrics`)).text();
      return page
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.replace(/ \S+$/, ''));
    };
    const ask = (number: number) =>
      fetch(`${bed.url}${number % 3 ? '/v1/chat/completions' : `/v1/unheard-of-${number}`}`, {
        method: number % 5 ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${number % 2 ? KEY : `sk-${number}`}`,
          'content-type': 'application/json',
          'x-request-id': `id-${number}`,
          'user-agent': `agent-${number}`,
        },
        ...(number % 5 && {
          body: JSON.stringify({
            model: `unheard-of-${number}`,
            user: `user-${number}`,
            messages: [{ role: 'user', content: 'x' }],
          }),
        }),
      }).then((response) => response.text());
    for (let number = 0; number < 60; number++) await ask(number);
    const before = await series();
    for (let number = 60; number < 1_060; number += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, index) => ask(number + index)));
    }
    expect(await series()).toEqual(before);
    expect(before.join('\n')).not.toMatch(/unheard-of|user-\d|id-\d|agent-|sk-|\bknown/);
  });
});
