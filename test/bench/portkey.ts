/**
 * Millrace and Portkey's gateway side by side, in front of one server that answers at once: what each adds to asking that
 * server itself, how much each gets through, and what it costs in processor time. Ours checks keys, counts limits and
 * writes records meanwhile, in Redis and Postgres where the machine has them; Portkey's open gateway does none of the three.
 * Ours looks each request up in its cache too, in vain, and keeps the answer: they are repeatable (temperature 0), and no two alike.
 * Millrace is there twice: with a worker that asks the server, and with a gateway that asks it itself, as it asks a provider.
 *
 * Rounds are short and by turns (straight, Millrace, Millrace's gateway alone, Portkey), so that noise of the machine meets all of them alike.
 * Prints Markdown. Portkey's gateway is installed from npm into .millrace/cache the first time.
 *
 *   node test/bench/portkey.ts [--seconds 3] [--rounds 3] [--clients 1,16,64] [--pieces 64] [--rate 50] [--kinds whole,streamed,steady] [--cache miss|off] [--log-level warn] [--profile folder]
 *
 * With `--profile`, Node's profiler runs in gateways and worker, and the hottest functions of each are printed. Don't use the
 * other figures of such a run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres, startRedis } from '../chaos/stores.ts';
import { ROOT } from '../e2e/stack.ts';
import { Generator, median, percentile } from './generator.ts';
import type { LoadReport } from './load.ts';
import {
  cpuMsOf,
  createKey,
  freePort,
  newAdminKey,
  type Program,
  Stage,
  startGateway,
  startWorker,
  statusOf,
} from './programs.ts';
import { hottestFunctions } from './self-times.ts';

const PORTKEY_VERSION = '1.15.2';
/** The newest with which it streams at all: a later one turns every stream into a 500 (Portkey-AI/gateway#1389, open). */
const HONO_SERVER_VERSION = '1.14.1';
const REQUEST_TIMEOUT_MS = 30_000;
const INSTALL_TIMEOUT_MS = 300_000;
/** Of whole answers, which are to be short. */
const WHOLE_PIECES = 8;
/** Before anything is counted: compilers take thousands of requests until they are done. */
const WARM_UP_MS = 5_000;
const SETTLE_MS = 300;
/** At a steady rate, so many may be asked at a time. */
const STEADY_CLIENTS = 32;
const NUMBER = '00000000';

/** Each is counted, and none so low that it is met. */
const EVERY_LIMIT = {
  requests_per_minute: 100_000_000,
  tokens_per_minute: 1_000_000_000_000,
  concurrent_requests: 1_000_000,
  tokens_per_day: 1_000_000_000_000,
  tokens_per_month: 1_000_000_000_000,
};

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '1,16,64' },
    pieces: { type: 'string', default: '64' },
    rate: { type: 'string', default: '50' },
    kinds: { type: 'string', default: 'whole,streamed,steady' },
    cache: { type: 'string', default: 'miss' },
    'log-level': { type: 'string', default: 'warn' },
    profile: { type: 'string' },
  },
});
const durationMs = Number(values.seconds) * 1_000;
const rounds = Number(values.rounds);
const levels = values.clients.split(',').map(Number);
const kinds = values.kinds.split(',');
const streamedPieces = Number(values.pieces);

type Name = 'straight' | 'Millrace' | 'Millrace alone' | 'Portkey';
/** What is compared with Portkey's. */
const OURS = ['Millrace', 'Millrace alone'] as const;
type Kind = 'whole' | 'streamed';

interface Target {
  readonly name: Name;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whose processor time is its own. */
  readonly parts: Readonly<Record<string, number>>;
}

/** One round of one target. */
interface Round {
  readonly report: LoadReport;
  /** Milliseconds, by part. */
  readonly cpuMs: Readonly<Record<string, number>>;
}

/** What all rounds of a kind and level gave, by target. */
type Rounds = Readonly<Record<Name, readonly Round[]>>;

let storesUsed = '';
let runs = 0;
await using stage = new Stage();
const generator = await Generator.start(stage);
const upstream = await stage.start('the upstream', join(import.meta.dirname, 'bare-upstream.ts'));
const ours = await startOurs();
const portkey = await startPortkey();
const targets: readonly Target[] = [
  { name: 'straight', url: upstream.url, headers: {}, parts: { server: upstream.pid } },
  ...ours,
  portkey,
];

for (const target of targets) await checkAnswers(target);
tell(`### Beside Portkey's gateway\n`);
tell(`\`make bench-gateways${process.argv.length > 2 ? ` ARGS="${process.argv.slice(2).join(' ')}"` : ''}\`\n`);
tell(`${describeRun()}\n`);
for (const target of targets) {
  for (const kind of ['whole', 'streamed'] as const) await ask(target, kind, { clients: 16, durationMs: WARM_UP_MS });
}
for (const kind of ['whole', 'streamed'] as const) {
  if (kinds.includes(kind)) await measureClosed(kind);
}
if (kinds.includes('steady')) await measureSteady();
if (values.profile !== undefined) await tellProfiles(values.profile);

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One gateway with a worker, and one alone; what they keep, they keep in the same stores. */
async function startOurs(): Promise<readonly Target[]> {
  const folder = stage.folder('gateways');
  const modelsFileFor = (servedBy: 'worker' | 'gateway') => {
    const path = join(folder, `models-${servedBy}.yaml`);
    const upstreamEntry = { preset: 'generic', url: `${upstream.url}/v1`, maxConcurrent: 256 };
    const model = { id: 'bare', engine: 'openai-compatible', servedBy, upstream: upstreamEntry };
    writeFileSync(path, JSON.stringify({ models: [model] })); // JSON is YAML.
    return path;
  };
  const profiled = (name: string) =>
    values.profile === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`, `--cpu-prof-name=${name}.cpuprofile`];
  const [redis, postgres] = [await startRedis(stage), await startPostgres(stage)];
  const adminKey = newAdminKey();
  const plan = (name: string) => ({
    dataFolder: join(folder, name),
    args: [`--log-level=${values['log-level']}`],
    environment: {
      MILLRACE_ADMIN_KEY: adminKey,
      MILLRACE_KEY_SECRET: 'of both gateways, so that both know a key',
      ...(redis && { MILLRACE_REDIS_URL: redis.url }),
      ...(postgres && { MILLRACE_POSTGRES_URL: postgres.url }),
    },
    nodeArgs: profiled(name),
  });
  const worker = await startWorker(stage, { modelsFile: modelsFileFor('worker'), nodeArgs: profiled('worker') });
  const gateway = await startGateway(stage, { ...plan('gateway'), worker, modelsFile: modelsFileFor('worker') });
  const alone = await startGateway(stage, { ...plan('alone'), modelsFile: modelsFileFor('gateway') });
  const keyOf = (of: Program) => createKey(of, adminKey, { name: 'bench', limits: EVERY_LIMIT });
  const [made, madeAlone] = [await keyOf(gateway), await keyOf(alone)];
  storesUsed = `${made === undefined ? 'without keys' : 'with a key that has every limit'}, ${redis ? 'Redis' : 'limits in memory'}, ${postgres ? 'Postgres' : 'the embedded database'}, ${values.cache === 'off' ? 'requests that no cache keeps' : 'each answer looked up in the cache in vain and then kept there'}`;
  const stores = { ...(redis && { redis: redis.pid! }), ...(postgres && { postgres: postgres.pid! }) };
  const headersOf = (key: typeof made) => ({ authorization: `Bearer ${key?.key ?? 'none'}` });
  return [
    {
      name: 'Millrace',
      url: gateway.url,
      headers: headersOf(made),
      parts: { gateway: gateway.pid, worker: worker.pid, ...stores },
    },
    { name: 'Millrace alone', url: alone.url, headers: headersOf(madeAlone), parts: { gateway: alone.pid, ...stores } },
  ];
}

/** As its documentation has it: the provider in one header, its address in another. Without its console, which keeps logs. */
async function startPortkey(): Promise<Target> {
  const home = installPortkey();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = await stage.start("Portkey's gateway", join(home, 'build/start-server.js'), {
    args: [`--port=${port}`, '--headless'],
    environment: { NODE_ENV: 'production' },
    isReady: async () => (await statusOf(url)) === 200,
  });
  const headers = {
    authorization: 'Bearer none',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `${upstream.url}/v1`,
  };
  return { name: 'Portkey', url, headers, parts: { gateway: program.pid } };
}

/** @returns the folder of the package. */
function installPortkey(): string {
  const folder = join(ROOT, '.millrace/cache/portkey');
  const [manifest, home] = [join(folder, 'package.json'), join(folder, 'node_modules/@portkey-ai/gateway')];
  const wanted = JSON.stringify({
    private: true,
    dependencies: { '@portkey-ai/gateway': PORTKEY_VERSION },
    overrides: { '@hono/node-server': HONO_SERVER_VERSION },
  });
  if (existsSync(home) && existsSync(manifest) && readFileSync(manifest, 'utf8') === wanted) return home;
  process.stderr.write(`Installing @portkey-ai/gateway ${PORTKEY_VERSION} into ${folder} …\n`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(manifest, wanted);
  const args = ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: INSTALL_TIMEOUT_MS });
  // npm formats the manifest when it has installed; ours says that this is done.
  writeFileSync(manifest, wanted);
  return home;
}

/** No answer was given before: each run of requests has a number, and each request one of its own, written over `NUMBER`. */
function bodyOf(kind: Kind): object {
  const messages = [{ role: 'user', content: `Say some words. ${++runs} ${NUMBER}` }];
  const pieces = kind === 'whole' ? WHOLE_PIECES : streamedPieces;
  const repeatable = values.cache === 'off' ? {} : { temperature: 0 };
  return { model: 'bare', messages, max_tokens: pieces, stream: kind === 'streamed', ...repeatable };
}

/** Each has to give the very answer that the server gave, whole and streamed, before it is worth timing. */
async function checkAnswers({ name, url, headers }: Target): Promise<void> {
  for (const kind of ['whole', 'streamed'] as const) {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(bodyOf(kind)),
    });
    const text = await response.text();
    const pieces = kind === 'whole' ? WHOLE_PIECES : streamedPieces;
    const expected = Array.from({ length: pieces }, (_, index) => ` word${index}`).join('');
    const said = response.status !== 200 ? undefined : kind === 'whole' ? wholeText(text) : streamedText(text);
    if (said !== expected)
      throw new Error(`${name} does not answer (${kind}): ${response.status} ${text.slice(0, 1_000)}`);
  }
}

interface Choices {
  readonly choices: readonly {
    readonly message?: { readonly content: string };
    readonly delta?: { readonly content?: string };
  }[];
}

function wholeText(text: string): string | undefined {
  return (JSON.parse(text) as Choices).choices[0]?.message?.content;
}

function streamedText(text: string): string {
  const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
  const chunks = events.map((event) => JSON.parse(event.slice('data: '.length)) as Choices);
  return chunks.map(({ choices }) => choices[0]?.delta?.content ?? '').join('');
}

interface Pace {
  readonly clients: number;
  readonly durationMs: number;
  readonly ratePerSecond?: number;
}

async function ask(target: Target, kind: Kind, pace: Pace): Promise<Round> {
  const before = cpuOf(target);
  const report = await generator.run({
    url: target.url,
    path: '/v1/chat/completions',
    headers: target.headers,
    body: JSON.stringify(bodyOf(kind)),
    numbered: NUMBER,
    requestsMax: Number.POSITIVE_INFINITY,
    settleMs: SETTLE_MS,
    timeoutMs: REQUEST_TIMEOUT_MS,
    first: 'word0',
    expected: kind === 'whole' ? [`word${WHOLE_PIECES - 1}"`] : [`word${streamedPieces - 1}"`, '[DONE]'],
    ...pace,
  });
  if (report.failed > 0)
    throw new Error(`${target.name}: ${report.failed} requests failed: ${report.failures.join('\n')}`);
  const after = cpuOf(target);
  // The processor time of what settled before the count belongs to as many requests more.
  const share = report.elapsedMs / (report.elapsedMs + SETTLE_MS);
  const cpuMs = Object.fromEntries(Object.keys(before).map((part) => [part, (after[part]! - before[part]!) * share]));
  return { report, cpuMs };
}

function cpuOf({ parts }: Target): Record<string, number> {
  return Object.fromEntries(Object.entries(parts).map(([part, pid]) => [part, cpuMsOf(pid)]));
}

/** By turns, and each round begins with another, so that none always follows the same. */
async function takeTurns(kind: Kind, pace: Pace): Promise<Rounds> {
  const taken: Record<Name, Round[]> = { straight: [], Millrace: [], 'Millrace alone': [], Portkey: [] };
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < targets.length; turn++) {
      const target = targets[(round + turn) % targets.length]!;
      taken[target.name].push(await ask(target, kind, pace));
    }
  }
  return taken;
}

/** As fast as each can: so many clients, each asking again as soon as it is answered. */
async function measureClosed(kind: Kind): Promise<void> {
  const streamed = kind === 'streamed';
  const pieces = streamed ? streamedPieces : WHOLE_PIECES;
  tell(
    `#### ${streamed ? 'Streamed' : 'Whole'} answers of ${pieces} tokens, each client asking again as soon as it is answered\n`,
  );
  tell(
    `| clients | | requests/s | ${streamed ? 'tokens/s | first token' : 'whole answer'} added p50 | p99 | CPU µs a request |`,
  );
  tell(`| ---: | --- | ---: | ${streamed ? '---: | ' : ''}---: | ---: | ---: |`);
  for (const clients of levels) {
    const taken = await takeTurns(kind, { clients, durationMs });
    for (const { name } of targets) {
      const cells = [
        spread(taken[name].map(ratePerSecond), 0),
        ...(streamed
          ? [
              spread(
                taken[name].map((round) => ratePerSecond(round) * pieces),
                0,
              ),
            ]
          : []),
      ];
      tell(
        `| ${clients} | ${name} | ${cells.join(' | ')} | ${addedCells(taken, name, kind)} | ${cpuCell(taken[name])} |`,
      );
    }
    for (const name of OURS) {
      const ratio = median(taken[name].map(ratePerSecond)) / median(taken.Portkey.map(ratePerSecond));
      tell(`| ${clients} | ${name} ÷ Portkey | **${ratio.toFixed(2)}** | ${streamed ? '| ' : ''}| | |`);
    }
  }
  tell('');
}

/** As many requests for each, few enough that nobody is at the end of its strength: what is added is then way, not queue. */
async function measureSteady(): Promise<void> {
  const rate = Number(values.rate);
  tell(`#### At a steady ${rate} requests/s\n`);
  tell('| | added p50 | p99 | CPU µs a request |');
  tell('| --- | ---: | ---: | ---: |');
  for (const kind of ['whole', 'streamed'] as const) {
    const taken = await takeTurns(kind, { clients: STEADY_CLIENTS, durationMs, ratePerSecond: rate });
    for (const { name } of targets) {
      const what = kind === 'whole' ? `whole answer of ${WHOLE_PIECES}` : `first token of ${streamedPieces}`;
      tell(`| ${what}, ${name} | ${addedCells(taken, name, kind)} | ${cpuCell(taken[name])} |`);
    }
  }
  tell('');
}

function ratePerSecond({ report }: Round): number {
  return (report.answered / report.elapsedMs) * 1_000;
}

/** Round by round against straight of the same round; the straight line gets its own times. */
function addedCells(taken: Rounds, name: Name, kind: Kind): string {
  const times = ({ report }: Round) => (kind === 'whole' ? report.wholeMs : report.firstMs);
  const cells = [0.5, 0.99].map((part) => {
    const all = taken[name].map((round, index) => {
      const straight = name === 'straight' ? 0 : percentile(times(taken.straight[index]!), part);
      return percentile(times(round), part) - straight;
    });
    return name === 'straight' ? `(${spread(all, 2)})` : spread(all, 2);
  });
  return cells.join(' | ');
}

/** Of each part, the median of its rounds. */
function cpuCell(all: readonly Round[]): string {
  const parts = Object.keys(all[0]!.cpuMs);
  const micros = parts.map((part) => median(all.map(({ report, cpuMs }) => (cpuMs[part]! / report.answered) * 1_000)));
  const sum = micros.reduce((one, other) => one + other, 0).toFixed(0);
  return parts.length === 1
    ? sum
    : `${sum} (${parts.map((part, index) => `${part} ${micros[index]!.toFixed(0)}`).join(', ')})`;
}

function spread(all: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...all), Math.max(...all)];
  return `${median(all).toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

function describeRun(): string {
  const [cpu] = cpus();
  const machine = `${cpu?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux, Node ${process.versions.node}; load average ${loadavg()[0]!.toFixed(1)} at the start`;
  const how = `Median of ${rounds} rounds of ${durationMs / 1_000} s each, least and most in brackets; milliseconds. The straight lines have their own times in place of added ones`;
  return `${new Date().toISOString().slice(0, 10)}: ${machine}. Millrace ${storesUsed}; @portkey-ai/gateway ${PORTKEY_VERSION} (with @hono/node-server ${HONO_SERVER_VERSION}) without its console. ${how}.`;
}

async function tellProfiles(folder: string): Promise<void> {
  await stage[Symbol.asyncDispose](); // Profiles are written when a process ends.
  for (const part of ['gateway', 'worker', 'alone']) {
    tell(`#### Self time in the ${part}\n`);
    for (const line of hottestFunctions(join(folder, `${part}.cpuprofile`), 40)) tell(line);
    tell('');
  }
}
