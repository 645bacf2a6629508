import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exchange, type Told } from '../fuzz/exchange.js';
import { type FuzzedStack, startFuzzedStack } from '../fuzz/fuzzed-stack.js';
import { Judge } from '../fuzz/judge.js';
import { type Operation, operationsOf, readOpenApi } from '../fuzz/open-api.js';

const document = readOpenApi();
const operations = operationsOf(document);
const withJson = operations.filter(({ body }) => body !== undefined && !body.isForm);
const withForm = operations.filter(({ body }) => body?.isForm);

const JSON_TYPE = { 'content-type': 'application/json' };
const deep = (levels: number) => `${'{"a":['.repeat(levels / 2)}${']}'.repeat(levels / 2)}`;
const listed = (count: number, entry: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => entry(index)).join(',');
/** Two seconds and more, when such a body was parsed before it was refused. */
const CPU_MS_MAX = 400;
const TEN_MB = 10_000_000;
const ASK = '"messages":[{"role":"user","content":"What is the capital of France?"}],"max_tokens":8,"temperature":0';

interface Hostile {
  readonly what: string;
  readonly body: () => string | Buffer;
  readonly headers?: Record<string, string>;
  readonly statuses: readonly number[];
}

const HOSTILE: readonly Hostile[] = [
  { what: 'JSON of a thousand levels', body: () => deep(1_000), statuses: [400, 404] },
  { what: 'JSON of a hundred thousand levels', body: () => deep(100_000), statuses: [400, 404] },
  {
    what: 'numbers that no double holds',
    body: () => '{"model":1e400,"n":-1e400,"seed":123456789012345678901234567890,"max_tokens":9007199254740993}',
    statuses: [400, 404],
  },
  {
    what: 'a key that is given twice',
    body: () => '{"model":5,"model":{},"input":[],"input":7}',
    statuses: [400, 404],
  },
  {
    what: 'a prototype',
    body: () => '{"__proto__":{"model":"millrace-demo"},"constructor":{"prototype":{"stream":true}}}',
    statuses: [400, 404],
  },
  {
    what: 'a text of ten megabytes where none is expected',
    body: () => JSON.stringify({ model: 'x'.repeat(TEN_MB) }),
    statuses: [400, 404],
  },
  {
    what: 'more keys than anybody has',
    body: () => `{${listed(1_250_000, (index) => `"k${index}":1`)}}`,
    statuses: [400, 404],
  },
  {
    what: 'objects of which none is like another',
    body: () => `{"model":[${listed(300_000, (index) => `{"a${index}":1,"b${index}":2}`)}]}`,
    statuses: [400, 404],
  },
  {
    what: 'millions of empty lists',
    body: () => `{"input":[${listed(5_000_000, () => '[]')}]}`,
    statuses: [400, 404],
  },
  {
    what: 'millions of texts',
    body: () => `{"input":[${listed(1_500_000, (index) => `"s${index}"`)}]}`,
    statuses: [400, 404],
  },
  {
    what: 'millions of numbers',
    body: () => `{"input":[${listed(8_000_000, () => '1')}]}`,
    statuses: [400, 404],
  },
  {
    what: 'text that is none',
    body: () => '<a/>',
    headers: { 'content-type': 'application/xml' },
    statuses: [415],
  },
  {
    what: 'a type that nobody has heard of',
    body: () => '{}',
    headers: { 'content-type': 'nonsense/;;=\t"' },
    statuses: [400, 415],
  },
  {
    // A megabyte that would become a gigabyte.
    what: 'a bomb of gzip',
    body: () => gzipSync(Buffer.alloc(1_000_000_000)),
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    statuses: [415],
  },
];

/** Once each, over all that the document lists: most of it is refused before the endpoint is looked at, and stays so. */
describe('a hostile request', () => {
  let stack: FuzzedStack;
  const judge = new Judge(document);
  beforeAll(async () => {
    stack = await startFuzzedStack();
  });
  afterAll(() => stack[Symbol.asyncDispose]());

  const portOf = () => Number(new URL(stack.url).port);
  const patternOf = (path: string) => new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
  const pathOf = ({ path }: Operation) => path.replaceAll(/\{[^}]+\}/g, 'nothing');

  async function told(
    operation: Operation,
    method: string,
    headers: Record<string, string>,
    body?: string | Buffer,
  ): Promise<Told> {
    const authorization = `Bearer ${operation.admin ? stack.adminKey : stack.key}`;
    const sent = { method, url: stack.url + pathOf(operation), headers: { authorization, ...headers }, body };
    return await exchange(sent, AbortSignal.timeout(30_000));
  }

  function judged(operation: Operation, answer: Told): string[] {
    const { method } = operation;
    return judge.complaints(
      { operation, method, target: '', headers: {}, key: 'known', body: undefined, astray: false },
      answer,
    );
  }

  it.each(HOSTILE)(
    'is refused in the promised shape wherever JSON is read: $what',
    async ({ body, headers, statuses }) => {
      const bytes = Buffer.from(body());
      const beforeMs = stack.cpuMs();
      for (const operation of withJson) {
        const answer = await told(operation, operation.method, headers ?? JSON_TYPE, bytes);
        expect({ of: operation.name, complaints: judged(operation, answer) }).toEqual({
          of: operation.name,
          complaints: [],
        });
        // Where everything may be left out, or anything may be added, it is no fault to take it.
        if (answer.status !== 200) expect(statuses, `${operation.name}: ${answer.text}`).toContain(answer.status);
      }
      // Not by the clock, since others use the machine.
      expect((stack.cpuMs() - beforeMs) / withJson.length).toBeLessThan(CPU_MS_MAX);
      await stack.lookAfter();
    },
  );

  it.each(withForm)('is refused in the promised shape where a form is read: $name', async (operation) => {
    const bomb = gzipSync(Buffer.alloc(100_000_000));
    const form = { 'content-type': 'multipart/form-data; boundary=b' };
    const bodies: (readonly [Record<string, string>, string | Buffer])[] = [
      [form, ''],
      [form, '--b--\r\n'],
      [form, '--b\r\n'],
      [form, `--b\r\n${'a'.repeat(100_000)}`],
      [form, `${'--b\r\ncontent-disposition: form-data; name="x"\r\n\r\ny\r\n'.repeat(20_000)}--b--\r\n`],
      [{ 'content-type': 'multipart/form-data' }, 'x'],
      [{ 'content-type': 'application/json' }, '{}'],
      [{ ...form, 'content-encoding': 'gzip' }, bomb],
    ];
    for (const [headers, body] of bodies) {
      const answer = await told(operation, operation.method, headers, body);
      expect(judged(operation, answer)).toEqual([]);
      expect([400, 404, 413, 415], answer.text).toContain(answer.status);
    }
    await stack.lookAfter();
  });

  it('gets a 405 that names the methods, whatever is listed and by whatever method else', async () => {
    // `/v1/responses/input_tokens` is a response of that id as well, to whoever would delete it.
    const methodsOf = (operation: Operation) =>
      operations.filter(({ path }) => patternOf(path).test(pathOf(operation))).map(({ method }) => method);
    for (const operation of operations) {
      const known = methodsOf(operation);
      for (const method of ['PUT', 'PATCH', 'DELETE', 'POST', 'GET', 'PROPFIND'].filter(
        (one) => !known.includes(one),
      )) {
        const answer = await told(operation, method, {});
        expect(`${method} ${operation.path}: ${answer.status}`).toBe(`${method} ${operation.path}: 405`);
        expect(answer.headers.allow).toContain(operation.method);
        expect(judged(operation, answer).filter((complaint) => !complaint.includes('405'))).toEqual([]);
      }
    }
  });

  const chat = (version: string, body: string, more = '') =>
    `POST /v1/chat/completions HTTP/${version}\r\nhost: x\r\nauthorization: Bearer ${stack.key}\r\ncontent-type: application/json\r\n${more}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

  /** All that comes back until the other side closes. */
  async function said(bytes: string, end = false): Promise<string> {
    const socket = connect({ port: portOf(), host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    socket.on('error', () => {});
    if (end) socket.end(bytes);
    else socket.write(bytes);
    await once(socket, 'end');
    socket.destroy();
    return text;
  }

  it('of HTTP/1.0 is answered whole and streamed, without what only HTTP/1.1 reads', async () => {
    const whole = await said(chat('1.0', `{${ASK}}`));
    expect(whole).toMatch(/^HTTP\/1\.1 200 /);
    expect(whole).toContain('Paris');
    const streamed = await said(chat('1.0', `{${ASK},"stream":true}`));
    expect(streamed).toMatch(/^HTTP\/1\.1 200 /);
    expect(streamed).not.toMatch(/transfer-encoding: chunked/i);
    expect(streamed.slice(streamed.indexOf('\r\n\r\n') + 4)).toMatch(/^data: \{[\s\S]*\n\ndata: \[DONE\]\n\n$/);
  });

  it('behind others on one connection is answered in its turn, be those streams or refusals', async () => {
    const stream = chat('1.1', `{${ASK},"stream":true}`);
    const refused = chat('1.1', '{"messages":7}');
    const last = chat('1.1', `{${ASK}}`, 'connection: close\r\n');
    const answers = await said(stream + refused + stream + last);
    expect([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '200',
      '400',
      '200',
      '200',
    ]);
    expect(answers.match(/data: \[DONE\]/g)).toHaveLength(2);
  });

  it('of which one half is closed leaves nothing running', async () => {
    const endless = `{"messages":[{"role":"user","content":"x"}],"ignore_eos":true,"max_tokens":3000,"stream":true}`;
    await said(chat('1.1', endless), true);
    const idle = async () => {
      const health = (await (await fetch(`${stack.url}/health`)).json()) as {
        workers: { running: number; waiting: number }[];
      };
      return health.workers.reduce((sum, { running, waiting }) => sum + running + waiting, 0);
    };
    await expect.poll(idle).toBe(0);
  });

  it('leaves the processes as they were, and no fault in the log', async () => {
    await stack.lookAfter();
    expect(stack.faultsLogged()).toEqual([]);
  });
});
