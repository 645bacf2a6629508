/**
 * What telemetry costs: requests per second with traces and metrics sent to a collector, and with neither, by turns in one run. For each a
 * gateway and a worker of their own, on the built-in model; the collector takes all and keeps nothing.
 *
 *   node test/bench/telemetry.ts [--starts 5] [--rounds 3] [--clients 32] [--tokens 64] [--seconds 4] [--before FOLDER]
 *
 * All processes are started anew several times, and by turns too: two that run the same differ by some 5 %, for as long as they live, by what
 * memory they were given.
 *
 * `--before` is another working tree, built: what had no telemetry, to see that it costs nothing where it is off. It may be given several
 * times, also with the same tree, to see what chance makes of it; all are compared with the first. Each serves the model as its own models file
 * has it: where that says something else of the model, the comparison is about that, too. Exit status 1 when telemetry costs more than
 * it may.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../e2e/stack.ts';
import { Generator, percentile } from './generator.ts';
import { cpuMsOf, type Program, Stage, startGateway, startWorker } from './programs.ts';

const PART_MIN = 0.9;
const WARM_UP_SECONDS = 2;
const REQUEST_TIMEOUT_MS = 60_000;

const { values } = parseArgs({
  options: {
    starts: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '4' },
    before: { type: 'string', multiple: true, default: [] },
  },
});
const [starts, rounds, clients, tokens, seconds] = [
  values.starts,
  values.rounds,
  values.clients,
  values.tokens,
  values.seconds,
].map(Number) as [number, number, number, number, number];

/** What is compared; its processes come and go. */
interface Subject {
  readonly name: string;
  readonly root: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly perSecond: number[];
  cpuMs: number;
  answered: number;
}

await using stage = new Stage();
const taken = { requests: 0, bytes: 0 };
const collector = await openCollector();
const subjects: readonly Subject[] = [
  subjectOf('off', ROOT),
  subjectOf('on', ROOT, { OTEL_EXPORTER_OTLP_ENDPOINT: collector }),
  ...values.before.map((tree) => subjectOf(tree, tree)),
];
const generator = await Generator.start(stage);

const [cpu] = cpus();
tell(`${cpu?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}; load ${loadavg()[0]!.toFixed(1)}.`);
tell(
  `${clients} clients, streamed, ${tokens} tokens each; ${starts} starts, ${rounds} rounds of ${seconds} s, in turn.\n`,
);
for (let begun = 0; begun < starts; begun++) {
  const running = [];
  for (const subject of turned(subjects, begun)) running.push({ subject, ...(await start(subject)) });
  for (const { gateway } of running) await ask(gateway, WARM_UP_SECONDS);
  for (let round = 0; round < rounds; round++) for (const each of turned(running, round)) await measure(each);
  for (const { programs } of running) await Promise.all(programs.map((program) => program.stop()));
}
tell('| telemetry | requests/s, each round | median | processor ms a request, gateway and worker |');
tell('| --- | --- | ---: | ---: |');
for (const { name, perSecond, cpuMs, answered } of subjects) {
  const each = perSecond.map((rate) => rate.toFixed(0)).join(', ');
  tell(`| ${name} | ${each} | ${median(perSecond).toFixed(1)} | ${(cpuMs / answered).toFixed(3)} |`);
}
const [off, on, ...before] = subjects as [Subject, Subject, ...Subject[]];
tell(`\nThe collector was sent ${taken.requests} times, ${(taken.bytes / 1e6).toFixed(1)} MB.`);
const part = ratio(on, off);
tell(`On has ${part.toFixed(3)} of the requests/s of off, round by round at the median (at least ${PART_MIN}).`);
for (const each of before) tell(`Off has ${ratio(off, each).toFixed(3)} of those of ${each.name}.`);
for (const each of before.slice(1))
  tell(`${each.name} has ${ratio(each, before[0]!).toFixed(3)} of those of ${before[0]!.name}.`);
if (part < PART_MIN || taken.requests === 0) process.exitCode = 1;

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

function median(numbers: readonly number[]): number {
  return percentile(Float64Array.from(numbers), 0.5);
}

/** Of neighbours in time: what else runs on the machine comes and goes. */
function ratio(one: Subject, other: Subject): number {
  return median(one.perSecond.map((rate, round) => rate / other.perSecond[round]!));
}

async function openCollector(): Promise<string> {
  const server = createServer((request, response) => {
    request.on('data', (data: Buffer) => {
      taken.bytes += data.length;
    });
    request.on('end', () => {
      taken.requests++;
      response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'application/x-protobuf' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stage.add(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function subjectOf(name: string, root: string, environment: NodeJS.ProcessEnv = {}): Subject {
  return { name, root, environment, perSecond: [], cpuMs: 0, answered: 0 };
}

/** The same, begun by another one each time. */
function turned<T>(list: readonly T[], by: number): readonly T[] {
  return list.map((_, at) => list[(at + by) % list.length]!);
}

interface Running {
  readonly gateway: Program;
  readonly programs: readonly Program[];
}

async function start({ name, root, environment }: Subject): Promise<Running> {
  const modelsFile = join(root, 'configs/models.yaml');
  const worker = await startWorker(stage, { modelsFile, environment, root });
  const dataFolder = stage.folder(`telemetry-${basename(name)}`);
  const gateway = await startGateway(stage, { worker, modelsFile, dataFolder, environment, root });
  return { gateway, programs: [gateway, worker] };
}

async function measure({ subject, gateway, programs }: Running & { readonly subject: Subject }): Promise<void> {
  const spent = () => programs.map(({ pid }) => cpuMsOf(pid)).reduce((sum, ms) => sum + ms, 0);
  const before = spent();
  const { answered, elapsedMs } = await ask(gateway, seconds);
  subject.cpuMs += spent() - before;
  subject.answered += answered;
  subject.perSecond.push((answered * 1_000) / elapsedMs);
}

async function ask(gateway: Program, forSeconds: number): Promise<{ answered: number; elapsedMs: number }> {
  const body = {
    model: 'millrace-demo',
    messages: [{ role: 'user', content: 'Tell me a story.' }],
    temperature: 0.8,
    max_tokens: tokens,
    ignore_eos: true,
    stream: true,
  };
  const report = await generator.run({
    url: gateway.url,
    path: '/v1/chat/completions',
    headers: { 'x-millrace-cache': 'off' },
    body: JSON.stringify(body),
    clients,
    requestsMax: Number.MAX_SAFE_INTEGER,
    durationMs: forSeconds * 1_000,
    settleMs: 0,
    timeoutMs: REQUEST_TIMEOUT_MS,
    first: '"delta":{"content"',
    expected: ['data: [DONE]'],
  });
  if (report.failed > 0) throw new Error(`${report.failed} requests failed: ${report.failures.join('\n')}`);
  return report;
}
