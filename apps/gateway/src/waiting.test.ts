import { describe, expect, it } from 'vitest';
import { FakeWorker } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { startKeyedGateway } from './keyed-gateway.testing.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { scrapedMetric } from './scraped-metric.testing.js';
import { ANYONE } from './vocabulary.js';

const silent = { script: () => ({ silent: true }) };

/** Whoever says who they are is believed; a name that begins with `high` is of a higher priority. */
const byName: Authenticator = {
  ...EVERYBODY,
  authenticate: (name) => ({ ...ANYONE, keyId: name, keyName: name, priority: name?.startsWith('high') ? 1 : 0 }),
};

function asKey(url: string, key: string, body: object = {}, signal: AbortSignal | null = null): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: 'user', content: key }], ...body }),
  });
}

describe('the waiting room', () => {
  it('lets the first of a key in after one answer, though another has 1,000 waiting', async () => {
    const settings = { maxConcurrentRequests: 1, maxQueueDepth: 1_001, connectionsMax: 2_000 };
    await using gateway = await startKeyedGateway(
      settings,
      { stepMs: 20, script: () => ({ stepsBeforeFirst: 20 }) },
      byName,
    );
    const leaving = new AbortController();
    const hog = Array.from({ length: 1_001 }, () => asKey(gateway.url, 'hog', {}, leaving.signal).catch(() => {}));
    const waiting = () => scrapedMetric(gateway.url, 'millrace_waiting_requests');
    await expect.poll(waiting, { timeout: 15_000 }).toBeGreaterThan(950);

    const before = gateway.worker.started.length;
    expect((await asKey(gateway.url, 'other')).status).toBe(200);
    // The one that ran as it came, and its own; another if that one ended while it was on its way.
    expect(gateway.worker.started.length - before).toBeLessThanOrEqual(3);
    leaving.abort();
    await Promise.all(hog);
    await expect.poll(waiting, { timeout: 5_000 }).toBe(0);
    expect(await scrapedMetric(gateway.url, 'millrace_waiting_bytes')).toBe(0);
  });

  it('has the newest of the largest key give way: a 429, and in the records it was dropped', async () => {
    await using gateway = await startKeyedGateway({ maxConcurrentRequests: 1, maxQueueDepth: 2 }, silent, byName);
    const leaving = new AbortController();
    const ask = (key: string, body?: object) => asKey(gateway.url, key, body, leaving.signal);
    const waiting = () => scrapedMetric(gateway.url, 'millrace_waiting_requests');
    const staying = [ask('hog')];
    await expect.poll(() => gateway.worker.started.length).toBe(1);
    staying.push(ask('hog'));
    await expect.poll(waiting).toBe(1);
    const last = ask('hog');
    await expect.poll(waiting).toBe(2);
    staying.push(ask('other'));

    const refused = await last;
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-millrace-limit')).toBe('queue');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(gateway.records()).toMatchObject([{ outcome: 'dropped', keyId: 'hog', code: 'rate_limit_exceeded' }]);

    const atOnce = await ask('other');
    expect(atOnce.status).toBe(429);
    expect(gateway.records()[1]).toMatchObject({ outcome: 'rejected', keyId: 'other' });
    leaving.abort();
    await Promise.allSettled(staying);
  });

  it('tells a stream that has its 200 already by a last event', async () => {
    const settings = { maxConcurrentRequests: 1, maxQueueDepth: 2, statusHoldMs: 20 };
    await using gateway = await startKeyedGateway(settings, silent, byName);
    const leaving = new AbortController();
    const ask = (key: string, body?: object) => asKey(gateway.url, key, body, leaving.signal);
    const waiting = () => scrapedMetric(gateway.url, 'millrace_waiting_requests');
    const staying = [ask('hog')];
    await expect.poll(() => gateway.worker.started.length).toBe(1);
    staying.push(ask('hog'));
    await expect.poll(waiting).toBe(1);
    const stream = await ask('hog', { stream: true });
    expect(stream.status).toBe(200);
    staying.push(ask('high'));
    const events = await eventsOf(stream);
    expect(events[0]).toBe(': heartbeat');
    expect(events.at(-1)).toMatch(/^data: \{"error":.*gave way.*"code":"rate_limit_exceeded"/);
    leaving.abort();
    await Promise.allSettled(staying);
  });

  it('holds only so many bytes, and says so', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1, maxQueueBytes: 1_000 }, [silent]);
    const leaving = new AbortController();
    void bed.chat({}, { signal: leaving.signal }).catch(() => {});
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const refused = await bed.chat({ messages: [{ role: 'user', content: 'x'.repeat(1_000) }] });
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('more than 1,000') } });
    leaving.abort();
  });
});

describe('a gateway whose room is small, whose clients leave and whose worker comes and goes', () => {
  it('answers, refuses or drops each of them once, and keeps nothing', async () => {
    const settings = { maxConcurrentRequests: 2, maxQueueDepth: 6, statusHoldMs: 30, coldStartWaitMs: 150 };
    await using gateway = await startKeyedGateway(settings, { stepMs: 5 }, byName);
    const { port } = gateway.worker;
    let worker = gateway.worker;
    const flapping = (async () => {
      for (let time = 0; time < 4; time++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        worker.die();
        await new Promise((resolve) => setTimeout(resolve, 60));
        worker = await FakeWorker.start({ port, stepMs: 5 });
      }
    })();
    const endings = await Promise.all(
      Array.from({ length: 120 }, async (_, index) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 700));
        const leaving = index % 4 === 0 ? AbortSignal.timeout(Math.floor(Math.random() * 100)) : null;
        try {
          const response = await asKey(gateway.url, ['a', 'b', 'high'][index % 3]!, { stream: index % 2 > 0 }, leaving);
          await response.text();
          return response.status;
        } catch {
          return 'left';
        }
      }),
    );
    await flapping;
    expect(endings.filter((one) => ![200, 429, 503, 'left'].includes(one))).toEqual([]);
    expect(endings).toContain(200);
    const left = async () => ({
      running: await scrapedMetric(gateway.url, 'millrace_running_requests'),
      waiting: await scrapedMetric(gateway.url, 'millrace_waiting_requests'),
      waitingBytes: await scrapedMetric(gateway.url, 'millrace_waiting_bytes'),
    });
    await expect.poll(left).toEqual({ running: 0, waiting: 0, waitingBytes: 0 });
    // A client that left before its request had been read asked for nothing; every other has one record.
    const ids = gateway.records().map(({ requestId }) => requestId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(endings.filter((one) => one !== 'left').length);
    worker.die();
  });
});

describe('a gateway that stops while requests wait', () => {
  it('tells those whose turn has not come within drainTimeoutMs, each in its way', async () => {
    const settings = { maxConcurrentRequests: 1, statusHoldMs: 20, drainTimeoutMs: 200 };
    await using bed = await TestBed.start(settings, [silent]);
    void bed.chat().catch(() => {});
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const whole = bed.chat();
    const stream = await bed.chat({ stream: true });
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(2);
    const drained = bed.gateway.drain();
    const response = await whole;
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'shutting_down' } });
    expect((await eventsOf(stream)).at(-1)).toMatch(/^data: \{"error":.*"code":"shutting_down"/);
    await drained;
    const dropped = bed.records().filter(({ attempts }) => attempts === 0);
    expect(dropped).toMatchObject(Array(2).fill({ outcome: 'dropped', code: 'shutting_down' }));
  });
});

describe('x-millrace-deadline-ms', () => {
  it('ends a wait for a place, which is free at once: 504, and in the records it was dropped', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1, maxQueueDepth: 1 }, [silent]);
    const leaving = new AbortController();
    void bed.chat({}, { signal: leaving.signal }).catch(() => {});
    await expect.poll(() => bed.worker.started.length).toBe(1);
    for (let time = 0; time < 2; time++) {
      const late = await bed.chat({}, { headers: { 'x-millrace-deadline-ms': '80' } });
      expect(late.status).toBe(504);
      expect(await late.json()).toMatchObject({
        error: { code: 'deadline_exceeded', message: expect.stringContaining('within 80 ms') },
      });
    }
    expect(bed.records()).toMatchObject([{ outcome: 'dropped' }, { outcome: 'dropped', attempts: 0 }]);
    expect(bed.worker.started).toHaveLength(1);
    leaving.abort();
  });

  it('ends a wait for a worker, before that has been long enough', async () => {
    await using bed = await TestBed.start({ workers: ['127.0.0.1:9'] }, [], false);
    expect((await bed.chat({}, { headers: { 'x-millrace-deadline-ms': '80' } })).status).toBe(504);
  });

  it.each(['0', '-5', '1.5', 'soon', '86400001'])('is refused when it is %s', async (value) => {
    await using bed = await TestBed.start();
    const refused = await bed.chat({}, { headers: { 'x-millrace-deadline-ms': value } });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param: 'x-millrace-deadline-ms' } });
  });
});

describe('a gateway whose workers are away', () => {
  /** A port on which nobody listens yet. */
  async function freePort(): Promise<number> {
    const worker = await FakeWorker.start();
    worker.die();
    return worker.port;
  }

  it('answers what came before its first worker, once that is there', async () => {
    const port = await freePort();
    await using bed = await TestBed.start({ workers: [`127.0.0.1:${port}`] }, [], false);
    const [whole, stream, invalid] = [bed.chat(), bed.chat({ stream: true }), bed.chat({ stream: true, n: 'x' })];
    const unknown = bed.chat({ model: 'unknown' });
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(4);
    const worker = await FakeWorker.start({ port });
    expect((await whole).status).toBe(200);
    expect((await eventsOf(await stream)).at(-1)).toBe('data: [DONE]');
    expect((await invalid).status).toBe(400); // Within statusHoldMs, so that it keeps its own status.
    expect((await unknown).status).toBe(404);
    expect(await scrapedMetric(bed.url, 'millrace_running_requests')).toBe(0);
    worker.die();
  });

  it('calls no model unknown that may be one of a worker that has said nothing yet', async () => {
    const late = await FakeWorker.start({ state: 'loading' });
    await using bed = await TestBed.start({}, [{}, late], false);
    await bed.ready(1);
    const unknown = bed.chat({ model: 'unknown' });
    const one = bed.chat({ model: 'late' });
    expect((await bed.chat({ model: 'demo' })).status).toBe(200);
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(2);
    late.state = 'ready';
    late.serve([{ id: 'late' }]);
    expect((await one).status).toBe(200);
    expect((await unknown).status).toBe(404);
  });

  it('takes one that can not be reached for one that says nothing', async () => {
    const alive = await FakeWorker.start();
    const workers = [`127.0.0.1:${await freePort()}`, alive.address];
    await using bed = await TestBed.start({ workers }, [alive]);
    expect((await bed.chat({ model: 'unknown' })).status).toBe(404);
  });

  it('answers what came while its worker restarted, and others meanwhile', async () => {
    const models = (id: string) => [{ id }];
    await using bed = await TestBed.start({}, [{ models: models('one') }, { models: models('two') }]);
    const { port } = bed.worker;
    bed.worker.die();
    await expect
      .poll(async () => ((await (await fetch(`${bed.url}/health`)).json()) as Health).workers[0]?.state)
      .toBe('lost');
    const cold = bed.chat({ model: 'one' });
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
    expect((await bed.chat({ model: 'two' })).status).toBe(200);
    const back = await FakeWorker.start({ port, models: models('one') });
    expect((await cold).status).toBe(200);
    expect(bed.records().at(-1)).toMatchObject({ outcome: 'served', attempts: 1, waitedMs: expect.any(Number) });
    back.die();
  });

  it('refuses after coldStartWaitMs with a 503 that says how long that was', async () => {
    await using bed = await TestBed.start({ workers: ['127.0.0.1:9'], coldStartWaitMs: 120 }, [], false);
    const response = await bed.chat();
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toMatchObject({
      error: {
        code: 'model_not_ready',
        message: expect.stringMatching(
          /^No worker has reported its models yet; this request waited \d{3,} ms for one\. .*\/readyz/,
        ),
      },
    });
    expect(bed.records()).toMatchObject([{ outcome: 'dropped', code: 'model_not_ready' }]);
  });

  it('gives a stream its 200 meanwhile, and the failure as its last event', async () => {
    const settings = { workers: ['127.0.0.1:9'], coldStartWaitMs: 400, statusHoldMs: 50, heartbeatMs: 100 };
    await using bed = await TestBed.start(settings, [], false);
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(200);
    const events = await eventsOf(response);
    expect(events.slice(0, 2)).toEqual([': heartbeat', ': heartbeat']);
    expect(events.at(-1)).toMatch(/^data: \{"error":.*"code":"model_not_ready"/);
  });

  it('keeps no more of them than the room holds', async () => {
    await using bed = await TestBed.start({ workers: ['127.0.0.1:9'], maxQueueDepth: 2 }, [], false);
    const leaving = new AbortController();
    const waiting = [bed.chat({}, { signal: leaving.signal }), bed.chat({}, { signal: leaving.signal })];
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(2);
    expect((await bed.chat()).status).toBe(429);
    leaving.abort();
    await Promise.allSettled(waiting);
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(0);
  });

  it('is ready all the same with readyWithoutWorkers, and says what is missing', async () => {
    const settings = { workers: ['127.0.0.1:9'], readyWithoutWorkers: true };
    await using bed = await TestBed.start(settings, [], false);
    const ready = await fetch(`${bed.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({
      status: 'ready',
      reason: expect.stringMatching(/^No worker is ready: 127\.0\.0\.1:9 is connecting/),
      capabilities: {},
    });
    expect(await (await fetch(`${bed.url}/health`)).json()).toMatchObject({ status: 'degraded' });
  });
});

interface Health {
  readonly workers: readonly { readonly state: string }[];
}
