import { PROTOCOL_VERSION } from '@millrace/contracts';
import { describe, expect, it, vi } from 'vitest';
import { FakeWorker } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { scrapedMetric } from './scraped-metric.testing.js';

const manyWords = Array.from({ length: 60 }, (_, index) => `${index} `);
const failing = (code: string) => ({ script: () => ({ failure: { code, message: `scripted ${code}` } }) });

describe('a worker that dies', () => {
  it('before the first token: another one answers, and the caller notices nothing', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ dieAfterTokens: 0 }) }, {}]);
    const response = await bed.chat();
    expect(response.status).toBe(200);
    expect(bed.workers[1]?.started[0]).toMatchObject({ attempt: 2 });
    expect(bed.records()).toMatchObject([{ outcome: 'served', attempts: 2, worker: bed.workers[1]?.address }]);
  });

  it.each([false, true])(
    'alone, before the first token: the request waits for the next (stream: %s)',
    async (stream) => {
      await using bed = await TestBed.start({}, [{ script: () => ({ dieAfterTokens: 0 }) }]);
      const answer = bed.chat({ stream });
      await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
      expect(await scrapedMetric(bed.url, 'millrace_running_requests')).toBe(0);
      const next = await FakeWorker.start({ port: bed.worker.port });
      const response = await answer;
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('three');
      expect(next.started[0]).toMatchObject({ attempt: 2 });
      const [record] = bed.records() as { waitedMs: number; overheadMs: number; totalMs: number }[];
      expect(record).toMatchObject({ outcome: 'served', attempts: 2 });
      expect(record!.waitedMs).toBeGreaterThan(0);
      expect(record!.overheadMs).toBeGreaterThanOrEqual(0);
      expect(record!.overheadMs + record!.waitedMs).toBeLessThan(record!.totalMs);
      expect(await scrapedMetric(bed.url, 'millrace_running_requests')).toBe(0);
      next.die();
    },
  );

  it('alone, while it works on what is no answer: so does that', async () => {
    const models = [{ id: 'embedder', capabilities: ['embedding'], embeddingLength: 8 }];
    await using bed = await TestBed.start({}, [{ models, work: () => ({ die: true }) }]);
    const answer = bed.post('/v1/embeddings', { model: 'embedder', input: 'one' });
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
    const next = await FakeWorker.start({ port: bed.worker.port, models });
    const response = await answer;
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('x-millrace-overhead-ms'))).toBeGreaterThanOrEqual(0);
    next.die();
  });

  it('of the request, each in its turn: the request is not handed to a fourth', async () => {
    const deadly = { script: () => ({ dieAfterTokens: 0 }) };
    await using bed = await TestBed.start({}, [deadly]);
    const { port } = bed.worker;
    const answer = bed.chat();
    for (let time = 0; time < 2; time++) {
      await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
      const next = await FakeWorker.start({ ...deadly, port });
      await expect.poll(() => next.started.length, { timeout: 5_000 }).toBe(1);
    }
    const response = await answer;
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'worker_lost' } });
    expect(bed.records()).toMatchObject([{ outcome: 'failed', attempts: 3 }]);
  });

  it('alone: what is not back within coldStartWaitMs is a 503, and who does not wait so long was dropped', async () => {
    await using bed = await TestBed.start({ coldStartWaitMs: 3_000 }, [{ script: () => ({ dieAfterTokens: 0 }) }]);
    const leaving = new AbortController();
    const left = bed.chat({}, { signal: leaving.signal }).catch(() => 'left');
    const answer = bed.chat();
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(2);
    leaving.abort();
    await left;
    const response = await answer;
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      error: { code: 'model_not_ready', message: expect.stringMatching(/this request waited [\d,]+ ms/) },
    });
    expect(bed.records()).toMatchObject([
      { outcome: 'dropped', code: 'client_closed_request', attempts: 1 },
      { outcome: 'dropped', code: 'model_not_ready', attempts: 1 },
    ]);
    expect(await scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(0);
    expect(await scrapedMetric(bed.url, 'millrace_running_requests')).toBe(0);
  });

  it('in its own time, as in a rollout: what it no longer takes waits for the next', async () => {
    const worker = await FakeWorker.start({
      script: () => {
        worker.drain();
        return { failure: { code: 'shutting_down', message: 'This worker is about to stop.' } };
      },
    });
    await using bed = await TestBed.start({}, [worker]);
    const answer = bed.chat();
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
    worker.die();
    const next = await FakeWorker.start({ port: worker.port });
    expect((await answer).status).toBe(200);
    next.die();
  });

  it('in mid-stream, with nobody to go on: the stream ends with an honest error', async () => {
    await using bed = await TestBed.start({ coldStartWaitMs: 0 }, [{ script: () => ({ dieAfterTokens: 2 }) }]);
    const events = await eventsOf(await bed.chat({ stream: true }));
    expect(events.at(-1)).toContain('"code":"worker_lost"');
  });

  it('alone: a 503 that OpenAI clients retry, and the same again once it is back', async () => {
    await using bed = await TestBed.start({ coldStartWaitMs: 0 }, [{ script: () => ({ dieAfterTokens: 1 }) }]);
    const { port } = bed.worker;
    const lost = await bed.chat();
    expect(lost.status).toBe(503);
    expect(lost.headers.get('retry-after')).toBe('1');
    expect(await lost.json()).toMatchObject({ error: { code: 'worker_lost', type: 'server_error' } });

    const away = await bed.chat();
    expect(away.status).toBe(503);
    expect(away.headers.get('retry-after')).toBe('2');
    expect(await away.json()).toMatchObject({ error: { code: 'model_not_ready' } });
    expect((await bed.chat({ model: 'other' })).status).toBe(404);

    const back = await FakeWorker.start({ port });
    await bed.ready();
    expect((await bed.chat()).status).toBe(200);
    back.die();
  });
});

describe('a request that grows on its way to the worker', () => {
  it('is a 413 with both numbers, and every other answer goes on', async () => {
    const script = () => ({ answer: manyWords, heldAfterTokens: 1 });
    await using bed = await TestBed.start({ bodyBytesMax: 64 * 1024 }, [{ script }]);
    const other = bed.chat({ stream: true });
    await expect.poll(() => bed.worker.running).toBe(1);

    const numbers = new Array(10_000).fill('1e20').join();
    const body = `{"messages":[{"role":"user","content":"hi"}],"chat_template_kwargs":{"a":[${numbers}]}}`;
    for (const stream of [body, body.replace('{', '{"stream":true,')]) {
      const refused = await bed.post('/v1/chat/completions', stream);
      expect(refused.status).toBe(413);
      expect(await refused.json()).toMatchObject({
        error: {
          code: 'request_too_large',
          message: expect.stringMatching(/takes 220,\d{3} bytes on its way to the worker; 131,072 are allowed/),
        },
      });
    }
    bed.worker.release();
    const events = await eventsOf(await other);
    expect(events.at(-1)).toBe('data: [DONE]');
    expect(bed.worker.conversations).toBe(1);
    expect(bed.worker.started).toHaveLength(1);
  });

  it('is sent when it fits, though its bytes had to be counted', async () => {
    await using bed = await TestBed.start({ bodyBytesMax: 64 * 1024 });
    const prompt = new Array(30_000).fill(1); // Could be 150,000 bytes, and is 30,000.
    expect((await bed.post('/v1/completions', { prompt, max_tokens: 1 })).status).toBe(200);
  });
});

describe('a worker that refuses', () => {
  it.each(['rate_limit_exceeded', 'upstream_failed', 'model_failed'])(
    'because of itself: another one is asked: %s',
    async (code) => {
      await using bed = await TestBed.start({}, [failing(code), {}]);
      expect((await bed.chat()).status).toBe(200);
    },
  );

  it('because of the request: nobody else is asked', async () => {
    await using bed = await TestBed.start({}, [failing('invalid_request'), {}]);
    expect((await bed.chat()).status).toBe(400);
    expect(bed.workers[1]?.started).toEqual([]);
  });

  it('like all the others: the caller learns why, after three attempts', async () => {
    const full = failing('rate_limit_exceeded');
    await using bed = await TestBed.start({}, [full, full, full, full]);
    expect((await bed.chat()).status).toBe(429);
    expect(bed.workers.flatMap(({ started }) => started.map(({ attempt }) => attempt)).sort()).toEqual([1, 2, 3]);
  });
});

describe('a worker that is not ready', () => {
  it('has never reported: 503 with Retry-After, and not 404', async () => {
    await using bed = await TestBed.start({ workers: ['127.0.0.1:9'], coldStartWaitMs: 0 }, [], false);
    const response = await bed.chat({ model: 'demo' });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toMatchObject({ error: { code: 'model_not_ready' } });
    expect(await (await fetch(`${bed.url}/v1/models`)).json()).toEqual({ object: 'list', data: [] });
    const ready = await fetch(`${bed.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({
      status: 'not ready',
      reason: expect.stringMatching(/^No worker is ready: 127\.0\.0\.1:9 is connecting \(.+\)\.$/),
      models: [],
    });
  });

  it.each<[object, RegExp]>([
    [{ workers: [] }, /^No worker is configured: name one with --workers\.$/],
    [
      { workerDiscovery: 'dns', workersDns: 'nobody.invalid:8100' },
      /^DNS of nobody\.invalid:8100|^DNS has no records of nobody/,
    ],
    [{ workers: Array.from({ length: 20 }, (_, at) => `127.0.0.9:${at + 1}`) }, /; and 12 more\.$/],
  ])('is not there with %j: /readyz says why', async (settings, why) => {
    await using bed = await TestBed.start(settings, [], false);
    const reason = async () => ((await (await fetch(`${bed.url}/readyz`)).json()) as { reason: string }).reason;
    await expect.poll(reason, { timeout: 8_000 }).toMatch(why);
  });

  it.each(['worker', 'unix:/run/worker.sock', 'dns:///worker:8100'])('is called %s: no start', async (address) => {
    await expect(TestBed.start({ workers: [address] }, [], false)).rejects.toThrow(
      `\`workers\` names "${address}". Write host:port`,
    );
  });

  it('is reached past the proxy that is there for the Internet', async () => {
    for (const name of ['http_proxy', 'https_proxy']) vi.stubEnv(name, 'http://127.0.0.1:9');
    await using bed = await TestBed.start();
    expect((await bed.chat()).status).toBe(200);
    vi.unstubAllEnvs();
  });

  it('loads: /readyz says where it stands, and turns ready by itself', async () => {
    await using bed = await TestBed.start({}, [{ state: 'loading' }], false);
    const reason = async () => ((await (await fetch(`${bed.url}/readyz`)).json()) as { reason?: string }).reason;
    await expect.poll(reason).toContain('is loading (reading demo.gguf)');
    bed.worker.state = 'ready';
    await bed.ready();
    expect((await bed.chat()).status).toBe(200);
  });

  it('loads, and says so often: it is asked no more often for that', async () => {
    await using bed = await TestBed.start({}, [{ state: 'loading' }], false);
    await expect.poll(() => bed.worker.described).toBeGreaterThan(0);
    const asked = bed.worker.described;
    const sinceMs = performance.now();
    for (let told = 0; told < 50; told++) bed.worker.serve([{ id: 'demo' }]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // Four times a second, as if nothing had been told.
    expect(bed.worker.described).toBeGreaterThan(asked);
    expect(bed.worker.described - asked).toBeLessThanOrEqual((performance.now() - sinceMs) / 250 + 1);
    bed.worker.state = 'ready';
    bed.worker.serve([{ id: 'demo' }]);
    await bed.ready();
    const { described } = bed.worker;
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(bed.worker.described).toBeLessThanOrEqual(described + 1);
  });

  it('drains: it finishes what it has and gets nothing new', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ heldAfterTokens: 1 }) }, {}]);
    const running = bed.chat();
    await expect.poll(() => bed.workers[0]!.running).toBe(1);
    bed.workers[0]!.drain();
    await expect.poll(async () => (await health(bed)).workers[0]?.state).toBe('draining');
    await bed.chat();
    expect(bed.workers[1]?.started).toHaveLength(1);
    bed.workers[0]!.release();
    expect((await running).status).toBe(200);
  });

  it('speaks another protocol: /health says both versions', async () => {
    await using bed = await TestBed.start({}, [{ protocolVersion: 9 }], false);
    await expect
      .poll(async () => (await health(bed)).workers[0]?.detail)
      .toContain(`protocol ${PROTOCOL_VERSION}, this worker 9`);
  });

  it('is not taken for silent by a gateway that did not run itself', async () => {
    await using bed = await TestBed.start({ workerSilenceMsMax: 300 });
    const untilMs = performance.now() + 900;
    while (performance.now() < untilMs); // As after SIGSTOP: timers are due before anything was read.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await health(bed)).workers[0]?.state).toBe('ready');
    expect(bed.worker.conversations).toBe(1);
  });

  it('falls silent: it counts as lost, and its requests end', async () => {
    await using bed = await TestBed.start({ workerSilenceMsMax: 300 }, [
      { mute: true, script: () => ({ silent: true }) },
    ]);
    const response = await bed.chat();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'worker_lost' } });
  });
});

describe('several workers', () => {
  it('share what comes, one stream each', async () => {
    await using bed = await TestBed.start({}, [{ stepMs: 20 }, { stepMs: 20 }]);
    await Promise.all(Array.from({ length: 10 }, () => bed.chat()));
    expect(bed.workers.map(({ started }) => started.length)).toEqual([5, 5]);
    expect(bed.workers.map(({ conversations }) => conversations)).toEqual([1, 1]);
  });

  it('serve their own models', async () => {
    await using bed = await TestBed.start({}, [
      { models: [{ id: 'a', isDefault: true }] },
      { models: [{ id: 'b', aliases: ['bee'] }] },
    ]);
    await bed.chat({ model: 'bee' });
    await bed.chat();
    expect(bed.workers.map(({ started }) => started.map(({ model }) => model))).toEqual([['a'], ['b']]);
  });
});

interface Health {
  readonly workers: readonly { readonly state: string; readonly detail: string }[];
}

async function health(bed: TestBed): Promise<Health> {
  return (await fetch(`${bed.url}/health`)).json() as Promise<Health>;
}
