/**
 * What telemetry costs: requests per second with traces and metrics sent to a collector, and with neither, by turns in one run. For each a
 * gateway and a worker of their own, on the built-in model; the collector takes all and keeps nothing.
 *
 *   node test/bench/telemetry.ts [--rounds 8] [--clients 32] [--tokens 64] [--seconds 6] [--before FOLDER]
 *
 * `--before` is another working tree, built: what had no telemetry, to see that it costs nothing where it is off. Exit status 1 when it costs
 * more than it may.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../e2e/stack.ts';
import { Generator, percentile } from './generator.ts';
import { cpuMsOf, type Program, Stage, startGateway, startWorker } from './programs.ts';

const PART_MIN = 0.9;
const REQUEST_TIMEOUT_MS = 60_000;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    clients: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '6' },
    before: { type: 'string' },
  },
});
const [rounds, clients, tokens, seconds] = [values.rounds, values.clients, values.tokens, values.seconds].map(
  Number,
) as [number, number, number, number];

interface Subject {
  readonly name: string;
  readonly gateway: Program;
  readonly pids: readonly number[];
  readonly perSecond: number[];
  cpuMs: number;
  answered: number;
}

await using stage = new Stage();
const taken = { requests: 0, bytes: 0 };
const collector = await openCollector();
const subjects = [
  await start('off', {}),
  await start('on', { OTEL_EXPORTER_OTLP_ENDPOINT: collector }),
  ...(values.before === undefined ? [] : [await start('before', {}, values.before)]),
];
const generator = await Generator.start(stage);
for (const subject of subjects) await ask(subject, 2);
for (const subject of subjects) Object.assign(subject, { cpuMs: 0, answered: 0, perSecond: [] });

const [cpu] = cpus();
tell(`${cpu?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}; load ${loadavg()[0]!.toFixed(1)}.`);
tell(`${clients} clients, streamed, ${tokens} tokens each; ${rounds} rounds of ${seconds} s, all in turn.\n`);
for (let round = 0; round < rounds; round++) {
  const inTurn = subjects.map((_, at) => subjects[(at + round) % subjects.length]!);
  for (const subject of inTurn) await ask(subject, seconds);
}
tell('| telemetry | requests/s, each round | median | processor ms a request, gateway and worker |');
tell('| --- | --- | ---: | ---: |');
for (const { name, perSecond, cpuMs, answered } of subjects) {
  const each = perSecond.map((rate) => rate.toFixed(0)).join(', ');
  tell(`| ${name} | ${each} | ${median(perSecond).toFixed(1)} | ${(cpuMs / answered).toFixed(3)} |`);
}
const [off, on, before] = subjects as [Subject, Subject, Subject | undefined];
tell(`\nThe collector was sent ${taken.requests} times, ${(taken.bytes / 1e6).toFixed(1)} MB.`);
const part = ratio(on, off);
tell(`On has ${part.toFixed(3)} of the requests/s of off, round by round at the median (at least ${PART_MIN}).`);
if (before !== undefined) tell(`Off has ${ratio(off, before).toFixed(3)} of those of ${values.before}.`);
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

async function start(name: string, environment: NodeJS.ProcessEnv, root = ROOT): Promise<Subject> {
  const modelsFile = join(ROOT, 'configs/models.yaml');
  const worker = await startWorker(stage, { modelsFile, environment, root });
  const dataFolder = stage.folder(`telemetry-${name}`);
  const gateway = await startGateway(stage, { worker, modelsFile, dataFolder, environment, root });
  return { name, gateway, pids: [gateway.pid, worker.pid], perSecond: [], cpuMs: 0, answered: 0 };
}

async function ask(subject: Subject, forSeconds: number): Promise<void> {
  const body = {
    model: 'millrace-demo',
    messages: [{ role: 'user', content: 'Tell me a story.' }],
    temperature: 0.8,
    max_tokens: tokens,
    ignore_eos: true,
    stream: true,
  };
  const spent = () => subject.pids.map(cpuMsOf).reduce((sum, ms) => sum + ms, 0);
  const before = spent();
  const report = await generator.run({
    url: subject.gateway.url,
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
  subject.cpuMs += spent() - before;
  subject.answered += report.answered;
  subject.perSecond.push((report.answered * 1_000) / report.elapsedMs);
}
