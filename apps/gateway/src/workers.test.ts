import { PROTOCOL_VERSION } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { FakeWorker } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

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

  it('in mid-stream: the stream ends with an honest error', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ dieAfterTokens: 2 }) }, {}]);
    const response = await bed.chat({ stream: true });
    const events = await eventsOf(response);
    expect(events.at(-1)).toContain('"code":"worker_lost"');
    expect(bed.workers[1]?.started).toEqual([]);
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
    const script = () => ({ answer: manyWords });
    await using bed = await TestBed.start({ bodyBytesMax: 64 * 1024 }, [{ stepMs: 5, script }]);
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
    await expect.poll(() => bed.worker.described).toBe(1);
    for (let told = 0; told < 50; told++) bed.worker.serve([{ id: 'demo' }]);
    await expect.poll(() => bed.worker.described).toBe(2);
    expect(bed.worker.described).toBe(2);
    bed.worker.state = 'ready';
    bed.worker.serve([{ id: 'demo' }]);
    await bed.ready();
    const { described } = bed.worker;
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(bed.worker.described).toBeLessThanOrEqual(described + 1);
  });

  it('drains: it finishes what it has and gets nothing new', async () => {
    await using bed = await TestBed.start({}, [{ stepMs: 50 }, {}]);
    const running = bed.chat({ messages: [{ role: 'user', content: 'a b c d e f' }] });
    await expect.poll(() => bed.workers[0]!.running).toBe(1);
    bed.workers[0]!.drain();
    await expect.poll(async () => (await health(bed)).workers[0]?.state).toBe('draining');
    await bed.chat();
    expect(bed.workers[1]?.started).toHaveLength(1);
    expect((await running).status).toBe(200);
  });

  it('speaks another protocol: /health says both versions', async () => {
    await using bed = await TestBed.start({}, [{ protocolVersion: 9 }], false);
    await expect
      .poll(async () => (await health(bed)).workers[0]?.detail)
      .toContain(`protocol ${PROTOCOL_VERSION}, this worker 9`);
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
