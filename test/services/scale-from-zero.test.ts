import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { freePort, type Program, Stage, startGateway, startWorker, until } from '../bench/programs.js';
import { ROOT } from '../e2e/stack.js';
import { readText } from '../tidy/source-files.js';
import { describePrometheus, RealPrometheus } from './real-prometheus.js';
import { RealRedis } from './real-redis.js';

const GGUF = join(ROOT, 'models/millrace-demo.gguf');
const POOLS = ['small', 'large', 'batch'] as const;
/** Pools that take their work from a queue. */
const QUEUED: readonly string[] = ['batch'];
const SCRAPE_SECONDS = 1;
const SEEN = { timeout: 30_000, interval: 250 };
const START_MS_MAX = 120_000;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
  readonly spec: { readonly triggers: readonly { readonly metadata: { readonly query: string } }[] };
}

interface FileEntry {
  readonly id: string;
  readonly restsAtZero?: boolean;
}

/** What helm made of an example, as `make charts` keeps it: where there is no helm, there is that. */
const CHART = parseAllDocuments(readText('test/charts/snapshots/many-pools-keda.yaml')).map(
  (document) => document.toJS() as Manifest,
);
const manifest = (kind: string, ending: string) =>
  CHART.find((one) => one?.kind === kind && one.metadata.name.endsWith(ending))!;
const queriesOf = (pool: string) =>
  manifest('ScaledObject', `-${pool}`).spec.triggers.map(({ metadata }) => metadata.query);

/** A models file of the chart, but for the models themselves: each is the built-in one. */
function modelsFileOf(configMap: string): string {
  const file = parse(manifest('ConfigMap', `-${configMap}-models`).data['models.yaml']!) as { models: FileEntry[] };
  const models = file.models.map(({ id, restsAtZero }) => ({ id, path: GGUF, context: 2_048, restsAtZero }));
  return stringify({ ...file, models });
}

/** On real processes: a worker that comes is what KEDA would have started. */
describePrometheus('the triggers of KEDA, asked of a real Prometheus that scrapes two gateways', () => {
  const stage = new Stage();
  let redis: RealRedis;
  let prometheus: RealPrometheus;
  let gateways: Program[];
  let startPool: (pool: string) => Promise<Program>;

  beforeAll(async () => {
    const fileOf = (configMap: string): string => {
      const path = join(stage.folder(configMap), 'models.yaml');
      writeFileSync(path, modelsFileOf(configMap));
      return path;
    };
    redis = await RealRedis.start();
    stage.add(() => redis.end());
    const shared = [
      '--worker-discovery=redis',
      '--discovery-interval-ms=300',
      `--redis-key-prefix=scale-${randomBytes(6).toString('hex')}`,
    ];
    const environment = { MILLRACE_REDIS_URL: redis.url };
    const ports = Object.fromEntries(await Promise.all(POOLS.map(async (name) => [name, await freePort()] as const)));
    startPool = (pool) =>
      startWorker(stage, {
        modelsFile: fileOf(`worker-${pool}`),
        args: [
          ...shared,
          `--worker-metrics-port=${ports[pool]}`,
          ...(QUEUED.includes(pool) ? ['--dispatch=queue', `--pool=${pool}`] : []),
        ],
        environment,
      });
    const worker = await startPool('small');
    gateways = [];
    for (const name of ['one', 'two']) {
      const args = [...shared, `--cold-start-wait-ms=${START_MS_MAX}`, '--dispatch=both'];
      gateways.push(
        await startGateway(stage, {
          name,
          worker,
          dataFolder: stage.folder(name),
          modelsFile: fileOf('gateway'),
          args,
          environment,
        }),
      );
    }
    // As ServiceMonitor and PodMonitor name them.
    const job = (job_name: string, targets: string[], labels: Record<string, string>) => ({
      job_name,
      static_configs: [{ targets, labels: { namespace: 'llm', ...labels } }],
    });
    const every = `${SCRAPE_SECONDS}s`;
    prometheus = await RealPrometheus.start(
      stringify({
        global: { scrape_interval: every, scrape_timeout: every },
        scrape_configs: [
          job('gateways', [...gateways.map(({ url }) => new URL(url).host)], { service: 'millrace-gateway' }),
          ...POOLS.map((name) =>
            job(`pool-${name}`, [`127.0.0.1:${ports[name]}`], { pool: name, release: 'millrace' }),
          ),
        ],
      }),
    );
    stage.add(() => prometheus.end());
    const up = async () => Number((await prometheus.ask('sum(up)'))[0]?.value[1] ?? 0) === 3;
    await until(up, START_MS_MAX, 'two gateways and a worker are scraped');
  }, 300_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  /** What KEDA reads of the triggers of a pool: what waits, what runs, what was not held. */
  const triggersOf = (pool: string) =>
    Promise.all(
      queriesOf(pool).map(async (query) => {
        const samples = await prometheus.ask(query);
        expect(samples, query).toHaveLength(1);
        return Number(samples[0]!.value[1]);
      }),
    );
  const chat = (gateway: number, body: object, signal: AbortSignal | null = null) =>
    fetch(`${gateways[gateway]!.url}/v1/chat/completions`, {
      method: 'POST',
      signal,
      headers: { 'content-type': 'application/json', 'x-millrace-cache': 'off' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Count.' }], max_tokens: 4, ...body }),
    });

  it('are 0 each while nobody asks, though nothing was ever told of the pool', async () => {
    expect(await triggersOf('large')).toEqual([0, 0, 0]);
    expect(await triggersOf('small')).toEqual([0, 0]);
  });

  it('wake a pool for the first request that another model answers in its place', async () => {
    const answer = await chat(0, { model: 'chat' });
    expect(await answer.json()).toMatchObject({ model: 'small' });
    await expect.poll(async () => (await triggersOf('large'))[2], SEEN).toBeGreaterThan(0);
    expect((await triggersOf('large'))[0]).toBe(0);
  });

  it('count what both gateways hold, for its pool alone; nothing once a worker came; and what runs there then', async () => {
    const held = [chat(0, { model: 'qwen3-8b' }), chat(0, { model: 'qwen3-8b' }), chat(1, { model: 'qwen3-8b' })];
    await expect.poll(async () => (await triggersOf('large'))[0], SEEN).toBe(3);
    expect((await triggersOf('small'))[0]).toBe(0);
    const worker = await startPool('large');
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200, 200]);
    await expect.poll(async () => (await triggersOf('large'))[0], SEEN).toBe(0);

    // An answer that nobody reads on is under way until its client leaves.
    const leaving = new AbortController();
    const body = { model: 'qwen3-8b', stream: true, max_tokens: 1_500, ignore_eos: true };
    const streams = await Promise.all([0, 1, 0, 1].map((gateway) => chat(gateway, body, leaving.signal)));
    expect(streams.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await expect.poll(async () => (await triggersOf('large'))[1], SEEN).toBeGreaterThan(0);
    leaving.abort();

    // As KEDA has it stop: it is forgotten, and the next request waits again.
    await worker.stop();
    const known = async () => {
      const health = (await (await fetch(`${gateways[0]!.url}/health`)).json()) as { workers: unknown[] };
      return health.workers.length;
    };
    await expect.poll(known, SEEN).toBe(1);
    const again = chat(0, { model: 'qwen3-8b' });
    await expect.poll(async () => (await triggersOf('large'))[0], SEEN).toBe(1);
    await expect.poll(async () => (await triggersOf('large'))[1], SEEN).toBe(0);
    await startPool('large');
    expect((await again).status).toBe(200);
  }, 240_000);

  it('wake a pool that takes from a queue by what waits at the gateways: before it is there, nothing is a job', async () => {
    const held = chat(1, { model: 'qwen3-4b' });
    await expect.poll(() => triggersOf('batch').then((values) => values.slice(0, 3)), SEEN).toEqual([1, 0, 0]);
    await startPool('batch');
    const answer = await held;
    expect(await answer.json()).toMatchObject({ model: 'qwen3-4b' });
    const jobs = () => prometheus.ask('millrace_queue_waiting_jobs{pool="batch"}');
    await expect.poll(async () => (await jobs()).length, SEEN).toBe(gateways.length);
    await expect.poll(() => triggersOf('batch').then((values) => values.slice(0, 3)), SEEN).toEqual([0, 0, 0]);
  }, 240_000);
});
