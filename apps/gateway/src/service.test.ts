import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { eventsOf, rawExchange, settingsWith, TestBed } from './gateway.testing.js';
import { startGateway } from './start-gateway.js';

describe('GET /v1/models', () => {
  it('lists what the workers serve', async () => {
    await using bed = await TestBed.start();
    expect((await bed.client.models.list()).data).toEqual([
      {
        id: 'demo',
        object: 'model',
        created: 1_700_000_000,
        owned_by: 'millrace',
        context_length: 8192,
        capabilities: ['chat', 'completion'],
        state: 'loaded',
      },
    ]);
  });

  it('finds one by its id or alias, with slashes as they are or encoded', async () => {
    await using bed = await TestBed.start({}, [{ models: [{ id: 'org/name', aliases: ['short'] }] }]);
    for (const path of ['org/name', 'org%2Fname', 'short']) {
      const response = await fetch(`${bed.url}/v1/models/${path}`);
      expect(await response.json(), path).toMatchObject({ id: 'org/name' });
    }
    expect((await bed.client.models.retrieve('org/name')).id).toBe('org/name');
    const unknown = await fetch(`${bed.url}/v1/models/none`);
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ error: { code: 'model_not_found', param: 'model' } });
  });
});

describe('what the gateway says of itself', () => {
  it('is alive, ready and healthy with a worker', async () => {
    await using bed = await TestBed.start();
    const get = async (path: string) => (await fetch(`${bed.url}${path}`)).json();
    const models = [{ id: 'demo', state: 'loaded', detail: '' }];
    const ready = { status: 'ready', capabilities: { chat: ['demo'], completion: ['demo'] }, models };
    expect(await get('/healthz')).toEqual({ status: 'ok' });
    expect(await get('/readyz')).toEqual(ready);
    expect(await get('/health')).toEqual({
      status: 'ok',
      ready,
      version: expect.any(String),
      node: process.version,
      workers: [
        {
          address: bed.worker.address,
          state: 'ready',
          detail: '',
          version: '0.0.1-fake',
          running: 0,
          running_max: 32,
          waiting: 0,
          models: ['demo'],
        },
      ],
    });
    expect(await get('/')).toMatchObject({ name: 'millrace', docs: '/docs' });
    expect(await get('/openapi.json')).toMatchObject({ openapi: expect.stringMatching(/^3\./) });
  });

  it('shows its documentation without the internet', async () => {
    await using bed = await TestBed.start();
    const page = await (await fetch(`${bed.url}/docs`)).text();
    const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThan(2);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//);
      expect((await fetch(`${bed.url}${link}`)).status, link).toBe(200);
    }
  });

  it('measures what it does', async () => {
    await using bed = await TestBed.start();
    const unasked = await (await fetch(`${bed.url}/metrics`)).text();
    expect(unasked).toMatch(/^gen_ai_server_time_to_first_token_count\{.*model="demo".*\} 0$/m);
    await bed.chat();
    await eventsOf(await bed.chat({ stream: true }));
    await bed.chat({ model: 'none' });
    const response = await fetch(`${bed.url}/metrics`);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const text = await response.text();
    expect(text).toMatch(/^millrace_requests_total\{.*outcome="served".*model="demo".*\} 2$/m);
    expect(text).toMatch(
      /^millrace_requests_total\{.*outcome="rejected".*code="model_not_found".*model="unknown".*\} 1$/m,
    );
    expect(text).toMatch(/^gen_ai_server_time_to_first_token\w*_count\{.*\} 2$/m);
    expect(text).toMatch(/^gen_ai_server_request_duration\w*_bucket\{.*le="0\.02"\} \d$/m);
    expect(text).toMatch(/^millrace_overhead_seconds_count\{.*answer="whole".*\} 1$/m);
    expect(text).toMatch(/^millrace_overhead_seconds_count\{.*answer="stream".*\} 1$/m);
    expect(text).toMatch(/^millrace_workers\{.*phase="ready".*\} 1$/m);
    expect(text).toMatch(/^millrace_event_loop_delay_seconds\{.*quantile="0\.99".*\} /m);
  });
});

describe('x-millrace-overhead-ms', () => {
  const overheadOf = ({ headers }: Response) => Number(headers.get('x-millrace-overhead-ms') ?? Number.NaN);
  const sumOf = async (bed: TestBed) =>
    Number(
      (await (await fetch(`${bed.url}/metrics`)).text()).match(/^millrace_overhead_seconds_sum\{.*\} (\S+)$/m)?.[1],
    );

  it('is on whole answers of every kind, and is what the histogram counts', async () => {
    await using bed = await TestBed.start();
    const told = [
      overheadOf(await bed.chat()),
      overheadOf(await bed.post('/v1/completions', { prompt: 'a b' })),
      overheadOf(await bed.post('/tokenize', { prompt: 'a b' })),
    ];
    for (const ms of told) expect(ms).toBeGreaterThan(0);
    expect((await sumOf(bed)) * 1000).toBeCloseTo(told[0]! + told[1]! + told[2]!, 1);
  });

  it('has nothing of the wait for a place, of the worker, or of a slow upload', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1 }, [{ stepMs: 100 }]);
    const slowly = new ReadableStream({
      start: async (controller) => {
        controller.enqueue(new TextEncoder().encode('{"messages":[{"role":"user",'));
        await new Promise((resolve) => setTimeout(resolve, 400));
        controller.enqueue(new TextEncoder().encode('"content":"a b c"}]}'));
        controller.close();
      },
    });
    const uploaded = bed.post('/v1/chat/completions', '', { body: slowly, duplex: 'half' } as RequestInit);
    const answers = await Promise.all([bed.chat(), bed.chat(), uploaded]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(Math.max(...bed.records().map(({ totalMs }) => Number(totalMs)))).toBeGreaterThan(500);
    // Three answers of 400 ms each, one after another; far more than this machine may be late by.
    for (const answer of answers) expect(overheadOf(answer)).toBeLessThan(200);
  });

  it('has the reading of a long request and the writing of a long answer', async () => {
    await using bed = await TestBed.start();
    const length = 4_000_000;
    const long = { messages: [{ role: 'user', content: 'x'.repeat(length) }] };
    const [short, longer] = [overheadOf(await bed.chat()), overheadOf(await bed.chat(long))];
    expect(longer).toBeGreaterThan(short);
  });

  it('is on no stream and no refusal', async () => {
    await using bed = await TestBed.start();
    for (const answer of [await bed.chat({ stream: true }), await bed.chat({ n: 500 })]) {
      expect(answer.headers.get('x-millrace-overhead-ms')).toBeNull();
      await answer.text();
    }
  });
});

describe('x-request-id', () => {
  it('is on every answer: whole, streamed, refused, unknown, unreadable', async () => {
    await using bed = await TestBed.start();
    const responses = [
      await bed.chat(),
      await bed.chat({ stream: true }),
      await bed.chat({ n: 500 }),
      await fetch(`${bed.url}/nowhere`),
      await fetch(`${bed.url}/healthz`),
      await fetch(`${bed.url}/%zz`),
      await fetch(`${bed.url}/v1/models`, { method: 'OPTIONS' }),
    ];
    const raw = await Promise.all(
      [
        'nonsense',
        'GET / HTTP/1.1\r\nconnection: close',
        'GET / HTTP/1.1\r\nhost: x\r\nexpect: foo',
        `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}`,
      ].map((request) => rawExchange(bed.gateway.port, `${request}\r\n\r\n`)),
    );
    const ids = [
      ...responses.map(({ headers }) => headers.get('x-request-id')),
      ...raw.map((answer) => answer.match(/^x-request-id: (.+)\r$/m)?.[1]),
    ];
    expect(ids.every((id) => /^req_[0-9a-f]{24}$/.test(id ?? ''))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is the caller’s own if that is sane', async () => {
    await using bed = await TestBed.start();
    const sent = async (id: string) =>
      (await bed.chat({ stream: true }, { headers: { 'x-request-id': id } })).headers.get('x-request-id');
    expect(await sent('order-7/retry#2')).toBe('order-7/retry#2');
    expect(await sent('x'.repeat(128))).toBe('x'.repeat(128));
    expect(await sent('x'.repeat(129))).toMatch(/^req_/);
    expect(await sent('two words')).toMatch(/^req_/);
    expect(await sent('é')).toMatch(/^req_/);
  });
});

describe('the line of a request', () => {
  it('says how it went and nothing of what was in it', async () => {
    await using bed = await TestBed.start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = { traceparent, authorization: 'Bearer sk-secret', 'x-request-id': 'mine' };
    await bed.chat({ messages: [{ role: 'user', content: 'private words' }] }, { headers });
    expect(bed.records()).toMatchObject([
      {
        level: 'info',
        requestId: 'mine',
        traceId: '0af7651916cd43dd8448eb211c80319c',
        endpoint: 'chat',
        model: 'demo',
        stream: false,
        outcome: 'served',
        status: 200,
        worker: bed.worker.address,
        attempts: 1,
        promptTokens: 2,
        completionTokens: 3,
        cachedTokens: 1,
        firstTokenMs: expect.any(Number),
        totalMs: expect.any(Number),
        overheadMs: expect.any(Number),
      },
    ]);
    expect(JSON.stringify(bed.log)).not.toMatch(/private|sk-secret/);
  });
});

describe('CORS', () => {
  const preflight = (url: string, origin: string) =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });

  it('sends no header unless it is set up', async () => {
    await using bed = await TestBed.start();
    const response = await preflight(bed.url, 'https://a.example');
    expect(response.status).toBe(405);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  it.each([{}, { corsOrigins: ['*'] }, { corsOrigins: ['https://a.example'] }])(
    // %j stands for the settings of the case.
    'refuses an OPTIONS that is no preflight as any other method: %j',
    async (settings) => {
      await using bed = await TestBed.start(settings);
      for (const headers of [{}, { origin: 'https://a.example' }] as Record<string, string>[]) {
        const known = await fetch(`${bed.url}/v1/completions`, { method: 'OPTIONS', headers });
        expect(known.status).toBe(405);
        expect(known.headers.get('allow')).toBe('POST');
        expect(known.headers.get('x-request-id')).toMatch(/^req_/);
        expect(await known.json()).toMatchObject({ error: { code: 'method_not_allowed' } });
        const unknown = await fetch(`${bed.url}/nowhere`, { method: 'OPTIONS', headers });
        expect(await unknown.json()).toMatchObject({ error: { code: 'unknown_url' } });
      }
    },
  );

  it('lets pages of the given origins in, streams and errors included', async () => {
    await using bed = await TestBed.start({ corsOrigins: ['https://a.example'] });
    expect((await preflight(bed.url, 'https://a.example')).status).toBe(204);
    const headers = { origin: 'https://a.example' };
    const responses = [
      await bed.chat({}, { headers }),
      await bed.chat({ stream: true }, { headers }),
      await bed.chat({ n: 5 }, { headers }),
      await fetch(`${bed.url}/nowhere`, { headers }),
    ];
    for (const response of responses) {
      expect(response.headers.get('access-control-allow-origin')).toBe('https://a.example');
      const exposed = response.headers.get('access-control-expose-headers');
      for (const name of ['x-request-id', 'x-ratelimit-remaining-tokens']) expect(exposed).toContain(name);
    }
    const other = await bed.chat({}, { headers: { origin: 'https://b.example' } });
    expect(other.headers.get('access-control-allow-origin')).not.toBe('https://b.example');
  });
});

describe('a gateway that is asked to stop', () => {
  const held = { script: () => ({ answer: ['a ', 'b ', 'c ', 'd ', 'e'], heldAfterTokens: 1 }) };

  it('lets a running stream finish, and is then gone', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 20_000 }, [held]);
    const response = await bed.chat({ stream: true });
    const drained = bed.gateway.drain();
    const taken = () => fetch(`${bed.url}/healthz`).then(({ ok }) => ok);
    await expect.poll(() => taken().catch(() => 'refused')).toBe('refused');
    bed.worker.release();
    const events = await eventsOf(response);
    expect(events.at(-1)).toBe('data: [DONE]');
    await drained;
  });

  it('is not ready, and says so on connections that are open', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 20_000 }, [held]);
    const running = bed.chat({ stream: true });
    await expect.poll(() => bed.worker.running).toBe(1);
    const ready = await halfSent(bed.gateway.port, 'GET /readyz HTTP/1.1\r\nhost: x', '\r\n\r\n');
    const drained = bed.gateway.drain();
    expect(await ready.finish()).toMatch(/^HTTP\/1\.1 503 [\s\S]*"status":"not ready"/);
    bed.worker.release();
    await (await running).text();
    await drained;
  });

  it('does not wait for a connection that never sent a request', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 50_000 });
    const idle = connect(bed.gateway.port, '127.0.0.1');
    await new Promise((resolve) => idle.once('connect', resolve));
    const beforeMs = performance.now();
    await bed.gateway.drain();
    expect(performance.now() - beforeMs).toBeLessThan(40_000);
  });
});

describe('a gateway on an address of IPv6', () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

  it.skipIf(!hasIpv6)('listens on it, with brackets or without', async () => {
    for (const host of ['::1', '[::1]']) {
      await using bed = await TestBed.start({ host }, [], false, '[::1]');
      expect((await fetch(`${bed.url}/healthz`)).status, host).toBe(200);
    }
  });
});

describe('a gateway whose port is in use', () => {
  it('fails to start, and leaves nothing behind', async () => {
    await using bed = await TestBed.start();
    const logger = createLogger({ name: 'gateway', level: 'silent', format: 'json' });
    const second = startGateway(settingsWith({ port: bed.gateway.port }), logger);
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE', port: bed.gateway.port });
  });
});

/** A connection on which a request has begun and not ended. */
async function halfSent(port: number, first: string, rest: string): Promise<{ finish(): Promise<string> }> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(first);
  await new Promise((resolve) => setTimeout(resolve, 50));
  let received = '';
  socket.setEncoding('utf8');
  socket.on('data', (data) => {
    received += data;
  });
  return {
    finish: async () => {
      socket.write(rest);
      await once(socket, 'close');
      return received;
    },
  };
}
