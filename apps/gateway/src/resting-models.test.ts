import type { ModelListBody, Settings } from '@millrace/contracts';
import { parseModelsFile } from '@millrace/runtime';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { eventsOf, settingsWith, TestBed } from './gateway.testing.js';
import { whenEnded } from './kept-responses.testing.js';
import type { Parts } from './open-parts.js';
import { openEmbedded } from './request-log/database.testing.js';
import { responsesOn } from './responses/responses.testing.js';
import { fixedModels } from './routing/models-in-force.js';
import { scrapedMetric } from './scraped-metric.testing.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';

const FILE = parseModelsFile(
  `
defaultModel: large
models:
  - { id: small, path: small.gguf }
  - { id: large, path: large.gguf, aliases: [big], context: 4096, restsAtZero: true, caps: { maxTokens: 50 } }
  - { id: vectors, path: vectors.gguf, restsAtZero: true }
  - { id: gone, path: gone.gguf }
aliases:
  - { name: either, targets: [{ model: large }], fallbacks: [small] }
  - { name: sleepy, targets: [{ model: gone }], fallbacks: [large] }
`,
  'models.yaml',
);
const SMALL: FakeWorkerOptions = { models: [{ id: 'small', capabilities: ['chat', 'completion'] }] };
const LARGE: FakeWorkerOptions = { models: [{ id: 'large', capabilities: ['chat', 'completion'] }] };

const LEASE_MS = 1_000;

describe('a model whose pool rests at zero', () => {
  let bed: TestBed;
  let port: number;
  let woken: FakeWorker | undefined;
  afterEach(async () => {
    await bed[Symbol.asyncDispose]();
    woken?.die();
  });

  /** A gateway whose other worker may come at an address at which nobody is. */
  async function start(
    settings: Partial<Settings> = {},
    awake: FakeWorkerOptions[] = [SMALL],
    parts: Partial<Parts> = {},
  ) {
    const gone = await FakeWorker.start();
    gone.die();
    port = gone.port;
    const workers = await Promise.all(awake.map((options) => FakeWorker.start(options)));
    const addresses = [...workers.map(({ address }) => address), `127.0.0.1:${port}`];
    bed = await TestBed.start({ workers: addresses, ...settings }, workers, true, '127.0.0.1', {
      models: fixedModels(FILE),
      ...parts,
    });
    // Until it was tried in vain it may still have said something.
    await expect.poll(async () => (await (await fetch(`${bed.url}/health`)).text()).includes('connecting')).toBe(true);
  }
  const wake = async (options = LARGE) => {
    woken = await FakeWorker.start({ port, ...options });
  };
  const waiting = () => scrapedMetric(bed.url, 'millrace_waiting_requests');
  const series = async (name: string, model: string) =>
    new RegExp(`^${name}\\{[^}]*model="${model}"[^}]*\\} (\\d+)$`, 'm').exec(
      await (await fetch(`${bed.url}/metrics`)).text(),
    )?.[1];

  it('is waited for beside one that answers, seen as waiting under its name, and answers when it is there', async () => {
    await start();
    expect(await series('millrace_waiting_requests', 'large')).toBe('0');
    expect(await series('millrace_resting_model_requests_total', 'large')).toBe('0');
    const [whole, stream, byAlias] = [
      bed.chat({ model: 'large' }),
      bed.chat({ model: 'big', stream: true }),
      bed.chat({ model: 'sleepy' }),
    ];
    const message = bed.post('/v1/messages', {
      model: 'large',
      max_tokens: 9,
      messages: [{ role: 'user', content: 'a' }],
    });
    const text = bed.post('/v1/completions', { model: 'large', prompt: 'a', max_tokens: 9 });
    await expect.poll(() => series('millrace_waiting_requests', 'large')).toBe('5');
    expect((await bed.chat({ model: 'small' })).status).toBe(200);
    expect(await series('millrace_resting_model_requests_total', 'large')).toBe('5');
    await wake();
    for (const asked of [whole, byAlias, message, text]) {
      const response = await asked;
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ model: 'large' });
    }
    expect((await eventsOf(await stream)).at(-1)).toBe('data: [DONE]');
    expect(await waiting()).toBe(0);
    expect(bed.records().find(({ model }) => model === 'large')).toMatchObject({
      outcome: 'served',
      waitedMs: expect.any(Number),
    });
  });

  it('is waited for while it loads, too', async () => {
    await start();
    const asked = bed.chat({ model: 'large' });
    await expect.poll(waiting).toBe(1);
    await wake({ ...LARGE, state: 'loading' });
    await expect.poll(async () => (await (await fetch(`${bed.url}/health`)).text()).includes('"loading"')).toBe(true);
    expect(await series('millrace_waiting_requests', 'large')).toBe('1');
    woken!.state = 'ready';
    woken!.serve([{ id: 'large', capabilities: ['chat'] }]);
    expect((await asked).status).toBe(200);
  });

  it('that does not come is a 503 that says how long it was waited for, and when to come again', async () => {
    await start({ coldStartWaitMs: 150 });
    const response = await bed.chat({ model: 'large' });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringMatching(
          /^No worker has come for the model `large`: this request waited 1\d\d ms for one, and the most is 150 \(coldStartWaitMs\)\. Try again shortly/,
        ),
        type: 'server_error',
        param: null,
        code: 'model_not_ready',
      },
    });
    expect(bed.records().at(-1)).toMatchObject({ outcome: 'dropped', code: 'model_not_ready', model: 'large' });
    expect(await waiting()).toBe(0);
  });

  it('gives a stream its 200 and heartbeats meanwhile, and the failure as its last event', async () => {
    await start({ coldStartWaitMs: 400, statusHoldMs: 50, heartbeatMs: 100 });
    const response = await bed.chat({ model: 'large', stream: true });
    expect(response.status).toBe(200);
    const events = await eventsOf(response);
    expect(events.slice(0, 2)).toEqual([': heartbeat', ': heartbeat']);
    expect(events.at(-1)).toMatch(/^data: \{"error":.*No worker has come for the model.*"code":"model_not_ready"/);
  });

  it('is waited for by nobody any more whose client has left, or whose deadline has passed', async () => {
    await start();
    const leaving = new AbortController();
    const left = bed.chat({ model: 'large' }, { signal: leaving.signal }).catch(() => 'left');
    await expect.poll(waiting).toBe(1);
    leaving.abort();
    expect(await left).toBe('left');
    await expect.poll(waiting).toBe(0);
    const late = await bed.chat({ model: 'large' }, { headers: { 'x-millrace-deadline-ms': '80' } });
    expect(late.status).toBe(504);
    expect(await waiting()).toBe(0);
    expect(await scrapedMetric(bed.url, 'millrace_waiting_bytes')).toBe(0);
  });

  it('is not waited for where another answers in its place, and is counted all the same: that wakes it', async () => {
    await start();
    const response = await bed.chat({ model: 'either' });
    expect(await response.json()).toMatchObject({ model: 'small' });
    expect(await series('millrace_resting_model_requests_total', 'large')).toBe('1');
    await wake();
    await bed.ready(2);
    expect(await (await bed.chat({ model: 'either' })).json()).toMatchObject({ model: 'large' });
    expect(await series('millrace_resting_model_requests_total', 'large')).toBe('1');
  });

  it('changes nothing for others: an unknown name is a 404 at once, and one that does not rest a 503', async () => {
    await start({ coldStartWaitMs: 60_000 });
    const began = performance.now();
    expect((await bed.chat({ model: 'lrage' })).status).toBe(404);
    const gone = await bed.chat({ model: 'gone' });
    expect(gone.status).toBe(503);
    expect(await gone.json()).toMatchObject({
      error: { message: expect.stringContaining('No worker has the model `gone` now') },
    });
    expect((await bed.chat({ model: 'large', n: 'x' })).status).toBe(400);
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  it('is refused at once with coldStartWaitMs 0, and counted', async () => {
    await start({ coldStartWaitMs: 0 });
    const refused = await bed.chat({ model: 'large' });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining('nobody may wait for one: coldStartWaitMs is 0') },
    });
    expect(await series('millrace_resting_model_requests_total', 'large')).toBe('1');
  });

  it('is waited for under its name where no worker is there at all, and where no model was named', async () => {
    await start({ readyWithoutWorkers: true }, []);
    const [named, unnamed, vectors] = [
      bed.chat({ model: 'large' }),
      bed.chat(),
      bed.post('/v1/embeddings', { model: 'vectors', input: 'a' }),
    ];
    await expect.poll(() => series('millrace_waiting_requests', 'large')).toBe('2');
    expect(await series('millrace_waiting_requests', 'vectors')).toBe('1');
    await wake({ models: [...LARGE.models!, { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8 }] });
    expect((await named).status).toBe(200);
    expect((await unnamed).status).toBe(200);
    expect((await vectors).status).toBe(200);
  });

  it('is held to what its entry allows once it can be read, and to what it can do', async () => {
    await start();
    const [tooLong, noVectors] = [
      bed.chat({ model: 'large', max_tokens: 51 }),
      bed.post('/v1/embeddings', { model: 'large', input: 'a' }),
    ];
    await expect.poll(waiting).toBe(2);
    await wake();
    expect((await tooLong).status).toBe(400);
    expect((await noVectors).status).toBe(400);
  });

  it('takes no more of the room than it leaves to others', async () => {
    await start({ maxQueueDepth: 5, maxConcurrentRequests: 1 });
    const leaving = new AbortController();
    const held = [1, 2].map(() => bed.chat({ model: 'large' }, { signal: leaving.signal }).catch(() => {}));
    await expect.poll(waiting).toBe(2);
    const refused = await bed.chat({ model: 'large' });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-millrace-limit')).toBe('queue');
    const others = await Promise.all([1, 2, 3, 4].map(() => bed.chat({ model: 'small' })));
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    leaving.abort();
    await Promise.all(held);
  });

  it('answers what was asked of it in the background', async () => {
    const database = await openEmbedded();
    onTestFinished(() => database.close());
    const tables = responsesOn(database, settingsWith({}), LEASE_MS);
    const jobs = new SqlJobQueue(database, { queue: 'responses', leaseMs: LEASE_MS, jobsMax: 10, pauseMsMax: 100 });
    await start({ readyWithoutWorkers: true }, [], {
      responses: tables.responses,
      responseTables: tables,
      responseJobs: jobs,
      close: () => jobs.close(),
    });
    const asked = bed.post('/v1/responses', { model: 'large', input: 'a', background: true });
    await expect.poll(() => series('millrace_waiting_requests', 'large')).toBe('1');
    await wake();
    const { id } = (await (await asked).json()) as { id: string };
    expect((await whenEnded(bed.client, id)).status).toBe('completed');
  });

  it('stands in the list of models, and can be looked up', async () => {
    await start();
    const list = (await (await fetch(`${bed.url}/v1/models`)).json()) as ModelListBody;
    expect(list.data.map(({ id, state }) => [id, state])).toEqual([
      ['small', 'loaded'],
      ['large', 'unavailable'],
      ['vectors', 'unavailable'],
      ['either', 'unavailable'],
    ]);
    const one = await fetch(`${bed.url}/v1/models/large`);
    expect(one.status).toBe(200);
    expect(await one.json()).toMatchObject({ id: 'large', context_length: 4096, capabilities: [] });
  });
});
