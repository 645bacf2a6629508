/**
 * What it costs that work goes by a queue in Redis instead of being sent to the worker: the first token with one client, and the
 * throughput with many, by both ways in turn. One gateway, one worker on the built-in model, one Redis, all on this machine.
 *
 *   node test/bench/queue-dispatch.ts [--requests 300] [--rounds 6] [--clients 32] [--tokens 64] [--seconds 8] [--ways grpc,queue] [--profile folder]
 *
 * With `--profile`, Node's profiler runs in gateway and worker, and the hottest functions of each are printed: for one of `--ways` at a
 * time, and not for the figures. Exit status 1 when the queue costs more than it may.
 */
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRedis } from '../chaos/stores.ts';
import { ROOT } from '../e2e/stack.ts';
import { Generator, percentile } from './generator.ts';
import type { LoadReport } from './load.ts';
import { cpuMsOf, type Program, Stage, startGateway, startWorker } from './programs.ts';
import { hottestFunctions } from './self-times.ts';

const FIRST_TOKEN_MORE_MS_MAX = 10;
const THROUGHPUT_PART_MIN = 0.9;
const REQUEST_TIMEOUT_MS = 60_000;
const PART_TIMEOUT_MS = 600_000;
type Way = 'grpc' | 'queue';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '300' },
    rounds: { type: 'string', default: '6' },
    clients: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '8' },
    ways: { type: 'string', default: 'grpc,queue' },
    profile: { type: 'string' },
  },
});
const WAYS = values.ways.split(',') as readonly Way[];
const [requests, rounds, clients, tokens, seconds] = [
  values.requests,
  values.rounds,
  values.clients,
  values.tokens,
  values.seconds,
].map(Number) as [number, number, number, number, number];

await using stage = new Stage();
const profiled = (name: string) =>
  values.profile === undefined
    ? []
    : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`, `--cpu-prof-name=${name}.cpuprofile`];
const { gateway, parts } = await prepare(stage);
const generator = await Generator.start(stage);
/** What each process takes for a token: what else runs on the machine has little say in that. */
class CpuOfTokens {
  #tokens = 0;
  #before: readonly number[] = [];
  readonly #spentMs = Object.keys(parts).map(() => 0);

  begin(): void {
    this.#before = Object.values(parts).map(cpuMsOf);
  }

  end(tokensMade: number): void {
    this.#tokens += tokensMade;
    for (const [at, pid] of Object.values(parts).entries()) this.#spentMs[at]! += cpuMsOf(pid) - this.#before[at]!;
  }

  toString(): string {
    return this.#spentMs.map((ms) => Math.round((ms * 1_000) / this.#tokens)).join(', ');
  }
}

// Who is asked first has what it needs brought from the disk.
for (const way of WAYS) await ask(way, { clients, requestsMax: 2 * clients });

const [cpu] = cpus();
tell(
  `${cpu?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}; load average ${loadavg()[0]!.toFixed(1)}.`,
);
tell(`In ${rounds} rounds, both ways in turn.\n`);
const first = await measureFirstToken();
const throughput = await measureThroughput();
if (values.profile !== undefined) await tellProfiles(values.profile);
const more = first.queue - first.grpc;
const part = throughput.queue / throughput.grpc;
tell(`\nThe queue costs ${more.toFixed(2)} ms to the first token (at most ${FIRST_TOKEN_MORE_MS_MAX}),`);
tell(`and has ${part.toFixed(3)} of the throughput (at least ${THROUGHPUT_PART_MIN}).`);
if (more > FIRST_TOKEN_MORE_MS_MAX || part < THROUGHPUT_PART_MIN) process.exitCode = 1;

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function tellProfiles(folder: string): Promise<void> {
  await stage[Symbol.asyncDispose](); // Profiles are written when a process ends.
  for (const part of ['gateway', 'worker']) {
    tell(`\n#### Self time in the ${part}\n`);
    for (const line of hottestFunctions(join(folder, `${part}.cpuprofile`), 40)) tell(line);
  }
}

/** @returns what computes, each by its name and process. */
async function prepare(stage: Stage) {
  const redis = await startRedis(stage);
  if (redis === undefined)
    throw new Error('There is no redis-server on this machine; `make test-services` installs it.');
  const args = ['--dispatch=both', `--queue-redis-url=${redis.url}`];
  const modelsFile = join(ROOT, 'configs/models.yaml');
  const worker = await startWorker(stage, { modelsFile, args, nodeArgs: profiled('worker') });
  const dataFolder = stage.folder('queue-bench');
  const gateway = await startGateway(stage, { worker, modelsFile, dataFolder, args, nodeArgs: profiled('gateway') });
  await poolIsReady(gateway);
  const parts = { gateway: gateway.pid, worker: worker.pid, redis: redis.pid! };
  return { gateway, parts };
}

async function poolIsReady(gateway: Program): Promise<void> {
  for (;;) {
    const { workers } = (await (await fetch(`${gateway.url}/health`)).json()) as {
      workers: { address: string; state: string }[];
    };
    if (workers.filter(({ state }) => state === 'ready').length === 2) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

async function measureFirstToken(): Promise<Record<Way, number>> {
  const each = { grpc: [] as number[], queue: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    for (const way of inTurn(round)) {
      const report = await ask(way, { clients: 1, requestsMax: Math.ceil(requests / rounds), maxTokens: 4 });
      each[way].push(...report.firstMs);
    }
  }
  tell('| first token, 1 client | requests | p50 ms | p95 ms | p99 ms |');
  tell('| --- | ---: | ---: | ---: | ---: |');
  for (const way of WAYS) {
    const times = Float64Array.from(each[way]);
    const cells = [0.5, 0.95, 0.99].map((part) => percentile(times, part).toFixed(2));
    tell(`| ${[way, times.length, ...cells].join(' | ')} |`);
  }
  return { grpc: median(each.grpc), queue: median(each.queue) };
}

async function measureThroughput(): Promise<Record<Way, number>> {
  const each = { grpc: [] as number[], queue: [] as number[] };
  const cpu = { grpc: new CpuOfTokens(), queue: new CpuOfTokens() };
  for (let round = 0; round < rounds; round++) {
    for (const way of inTurn(round)) {
      cpu[way].begin();
      const report = await ask(way, { clients, requestsMax: Number.MAX_SAFE_INTEGER, durationMs: seconds * 1_000 });
      cpu[way].end(report.answered * tokens);
      each[way].push((report.answered * tokens * 1_000) / report.elapsedMs);
    }
  }
  tell(
    `\n| throughput, ${clients} clients | tokens/s, each round | median | processor µs a token: ${Object.keys(parts).join(', ')} |`,
  );
  tell('| --- | --- | ---: | --- |');
  for (const way of WAYS) {
    const cells = [way, each[way].map(Math.round).join(', '), Math.round(median(each[way])), cpu[way].toString()];
    tell(`| ${cells.join(' | ')} |`);
  }
  return { grpc: median(each.grpc), queue: median(each.queue) };
}

/** Whoever is first in one round is second in the next. */
function inTurn(round: number): readonly Way[] {
  return round % 2 === 0 ? WAYS : WAYS.toReversed();
}

function median(numbers: readonly number[]): number {
  return percentile(Float64Array.from(numbers), 0.5);
}

interface Asked {
  readonly clients: number;
  readonly requestsMax: number;
  readonly durationMs?: number;
  readonly maxTokens?: number;
}

async function ask(
  way: Way,
  { clients, requestsMax, durationMs = PART_TIMEOUT_MS, maxTokens = tokens }: Asked,
): Promise<LoadReport> {
  const body = {
    model: 'millrace-demo',
    messages: [{ role: 'user', content: 'Tell me a story.' }],
    temperature: 0.8,
    max_tokens: maxTokens,
    ignore_eos: true,
    stream: true,
  };
  const report = await generator.run({
    url: gateway.url,
    path: '/v1/chat/completions',
    headers: { 'x-millrace-dispatch': way, 'x-millrace-cache': 'off' },
    body: JSON.stringify(body),
    clients,
    requestsMax,
    durationMs,
    settleMs: 0,
    timeoutMs: REQUEST_TIMEOUT_MS,
    first: '"delta":{"content"',
    expected: ['data: [DONE]'],
  });
  if (report.failed > 0) throw new Error(`${report.failed} requests failed: ${report.failures.join('\n')}`);
  return report;
}
