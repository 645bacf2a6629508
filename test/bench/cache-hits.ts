/**
 * How long an exact hit takes, and what a client waits for beside it: the same requests with the cache switched off for them. The real
 * gateway, in a process of its own, keeps answers in its memory and then in a Redis; behind it stand a worker and a server that answers at
 * once, so that a miss costs no more than the way to it.
 *
 *   node test/bench/cache-hits.ts [--requests 5000] [--entries 500] [--tokens 64] [--clients 1,16] [--stores memory,redis]
 *
 * Exit status 1 when a hit takes longer than it may, at the median with one client.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRedis } from '../chaos/stores.ts';
import { Generator, percentile } from './generator.ts';
import type { LoadPlan, LoadReport } from './load.ts';
import { type Program, Stage, startGateway, startWorker } from './programs.ts';

const HIT_MS_MAX = 2;
const REQUEST_TIMEOUT_MS = 60_000;
const PART_TIMEOUT_MS = 600_000;
/** As long as the numbers that take its place, so that each entry has a question of its own. */
const NUMBER = '00000000';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '5000' },
    entries: { type: 'string', default: '500' },
    tokens: { type: 'string', default: '64' },
    clients: { type: 'string', default: '1,16' },
    stores: { type: 'string', default: 'memory,redis' },
  },
});
const [requests, entries, tokens] = [values.requests, values.entries, values.tokens].map(Number) as [
  number,
  number,
  number,
];
let broken = false;

const [cpu] = cpus();
tell(
  `${cpu?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}; load average ${loadavg()[0]!.toFixed(1)}.`,
);
tell(
  `Answers of ${tokens} tokens, ${entries} of them kept; ${requests} requests a line. Milliseconds, at the client.\n`,
);
tell('| kept in | answer | clients | | requests/s | first p50 | p99 | total p50 | p99 |');
tell('| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |');
for (const store of values.stores.split(',')) {
  await using stage = new Stage();
  await measureStore(stage, store);
}
if (broken) process.exitCode = 1;

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function measureStore(stage: Stage, store: string): Promise<void> {
  const redis = store === 'redis' ? await startRedis(stage) : undefined;
  if (store === 'redis' && redis === undefined)
    return tell('| redis | not measured: none is installed | | | | | | | |');
  const gateway = await prepare(stage, redis && { MILLRACE_REDIS_URL: redis.url });
  const generator = await Generator.start(stage);
  for (const stream of [false, true]) {
    await keep(generator, gateway, stream);
    for (const clients of values.clients.split(',').map(Number)) {
      const asked = { gateway, stream, clients };
      const hits = await measure(generator, { ...asked, cache: 'hit' });
      row(store, asked, 'hit', hits);
      row(store, asked, 'run, cache off', await measure(generator, { ...asked, cache: 'off' }));
      const p50 = percentile(hits.wholeMs, 0.5);
      if (clients !== 1 || p50 <= HIT_MS_MAX) continue;
      broken = true;
      tell(`\nBROKEN: a hit takes ${p50.toFixed(2)} ms at the median with one client; ${HIT_MS_MAX} are allowed.\n`);
    }
  }
}

async function prepare(stage: Stage, environment: NodeJS.ProcessEnv = {}): Promise<Program> {
  const upstream = await stage.start('the upstream', join(import.meta.dirname, 'bare-upstream.ts'));
  const folder = stage.folder('cache-hits');
  const modelsFile = join(folder, 'models.yaml');
  const server = { preset: 'generic', url: `${upstream.url}/v1`, maxConcurrent: 4_096 };
  // JSON is YAML.
  writeFileSync(
    modelsFile,
    JSON.stringify({ models: [{ id: 'bare', engine: 'openai-compatible', upstream: server }] }),
  );
  const worker = await startWorker(stage, { modelsFile });
  return startGateway(stage, { worker, modelsFile, dataFolder: join(folder, 'data'), environment });
}

interface Asked {
  readonly gateway: Program;
  readonly stream: boolean;
  readonly clients: number;
}

function planFor({ gateway, stream, clients }: Asked, cache: 'hit' | 'miss' | 'off', requestsMax: number): LoadPlan {
  const content = `Say some words. (${NUMBER})`;
  const body = { model: 'bare', messages: [{ role: 'user', content }], temperature: 0, max_tokens: tokens, stream };
  return {
    url: gateway.url,
    path: '/v1/chat/completions',
    headers: cache === 'off' ? { 'x-millrace-cache': 'off' } : {},
    body: JSON.stringify(body),
    numbered: NUMBER,
    clients,
    requestsMax,
    durationMs: PART_TIMEOUT_MS,
    settleMs: 0,
    timeoutMs: REQUEST_TIMEOUT_MS,
    first: 'word0',
    expected: cache === 'off' ? ['word0'] : [`x-millrace-cache: ${cache}`, 'word0'],
  };
}

/** Has each question answered once; the second half of the work finds what the first has kept. */
async function keep(generator: Generator, gateway: Program, stream: boolean): Promise<void> {
  const plan = planFor({ gateway, stream, clients: 8 }, 'miss', entries);
  // Streamed or whole is the same question: only the first time are they misses.
  checked(await generator.run({ ...plan, expected: ['word0'] }));
}

/** In rounds over all entries: requests are numbered from 0 in each. */
async function measure(
  generator: Generator,
  { cache, ...asked }: Asked & { cache: 'hit' | 'off' },
): Promise<LoadReport> {
  const reports: LoadReport[] = [];
  for (let left = requests; left > 0; left -= entries) {
    reports.push(checked(await generator.run(planFor(asked, cache, Math.min(left, entries)))));
  }
  const all = (times: 'firstMs' | 'wholeMs') => Float64Array.from(reports.flatMap((report) => [...report[times]]));
  return {
    ...reports[0]!,
    answered: reports.reduce((sum, { answered }) => sum + answered, 0),
    elapsedMs: reports.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0),
    firstMs: all('firstMs'),
    wholeMs: all('wholeMs'),
  };
}

function checked(report: LoadReport): LoadReport {
  if (report.failed > 0) throw new Error(`${report.failed} requests failed: ${report.failures.join('\n')}`);
  return report;
}

function row(store: string, { stream, clients }: Asked, what: string, report: LoadReport): void {
  const ms = (times: Float64Array, part: number) => percentile(times, part).toFixed(2);
  const { firstMs, wholeMs, answered, elapsedMs } = report;
  const cells = [store, stream ? 'streamed' : 'whole', clients, what, Math.round((answered / elapsedMs) * 1_000)];
  const first = stream ? [ms(firstMs, 0.5), ms(firstMs, 0.99)] : ['', ''];
  tell(`| ${[...cells, ...first, ms(wholeMs, 0.5), ms(wholeMs, 0.99)].join(' | ')} |`);
}
