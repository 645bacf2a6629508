/**
 * Whether the gateway's memory stays where it is: over 100,000 short requests, over as many tokens as an hour of busy streams
 * has, with 2,000 streams open that say nothing, and over a million names of models that nobody has. A worker and a server
 * that answers at once stand behind it; keys, limits and records are on. Prints figures; exit status 1 when a bound is broken.
 *
 *   node test/bench/memory.ts [--parts requests,streams,idle,names] [--requests 100000] [--tokens 3500000] [--idle 2000] [--names 1000000]
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startPostgres, startRedis } from '../chaos/stores.ts';
import { sequencesOf } from '../e2e/stack.ts';
import { Generator } from './generator.ts';
import type { LoadPlan } from './load.ts';
import { createKey, newAdminKey, type Program, Stage, startGateway, startWorker, until } from './programs.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SAMPLES = 10;
/** Of the samples, those in which pools and compilers still grow. */
const WARM_UP_SAMPLES = 3;
const FLAT = 0.1;
/** Below this a change is not the load's doing: memory is handed out in pages and pools. */
const SLACK_BYTES = 4 * MIB;
const IDLE_STREAM_BYTES_MAX = 100 * KIB;
/** Three streams of 30 tokens/s for each of 11 users, for an hour, are 3.5 million tokens. */
const TOKENS_OF_A_STREAM = 1_000;
const METRICS_BYTES_MAX = 256 * KIB;
const REQUEST_TIMEOUT_MS = 60_000;
const PART_TIMEOUT_MS = 3_600_000;
const OPEN_TIMEOUT_MS = 120_000;
/**
 * V8 doubles the space for what is new when much of it lives on, once or twice in a process's life and at any time: 50 MiB of RSS
 * that look like a leak. Here it has from the start the size that it has in the end.
 */
const YOUNG_SPACE = ['--min-semi-space-size=32', '--max-semi-space-size=32'];
const CLIENTS = 16;
const WARM_UP_CLIENTS = 64;

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: 'requests,streams,idle,names' },
    requests: { type: 'string', default: '100000' },
    tokens: { type: 'string', default: '3500000' },
    idle: { type: 'string', default: '2000' },
    names: { type: 'string', default: '1000000' },
  },
});

interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
}

interface Setting {
  readonly gateway: Program;
  readonly worker: Program;
  readonly generator: Generator;
  readonly headers: Readonly<Record<string, string>>;
}

const PARTS = { requests: measureRequests, streams: measureStreams, idle: measureIdle, names: measureNames } as const;
const breaches: string[] = [];

for (const part of values.parts.split(',')) {
  const measure = PARTS[part as keyof typeof PARTS];
  if (measure === undefined) throw new Error(`No part is called ${part}; there are ${Object.keys(PARTS).join(', ')}.`);
  // Each with processes of its own: what one left behind is not the next one's.
  await using stage = new Stage();
  await measure(await prepare(stage));
}
for (const breach of breaches) tell(`BROKEN: ${breach}`);
if (breaches.length > 0) process.exitCode = 1;

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function prepare(stage: Stage): Promise<Setting> {
  const upstream = await stage.start('the upstream', join(import.meta.dirname, 'bare-upstream.ts'));
  const folder = stage.folder('memory');
  const modelsFile = join(folder, 'models.yaml');
  const server = { preset: 'generic', url: `${upstream.url}/v1`, maxConcurrent: 4_096, silenceMsMax: 3_600_000 };
  // JSON is YAML.
  writeFileSync(
    modelsFile,
    JSON.stringify({ models: [{ id: 'bare', engine: 'openai-compatible', upstream: server }] }),
  );
  const [redis, postgres] = [await startRedis(stage), await startPostgres(stage)];
  const nodeArgs = ['--expose-gc', ...YOUNG_SPACE, '--import', join(import.meta.dirname, 'heap-probe.ts')];
  const worker = await startWorker(stage, { modelsFile, nodeArgs, args: ['--request-timeout-ms=3600000'] });
  const adminKey = newAdminKey();
  const gateway = await startGateway(stage, {
    worker,
    modelsFile,
    dataFolder: join(folder, 'data'),
    args: ['--max-concurrent-requests=10000', '--request-timeout-ms=3600000'],
    environment: {
      MILLRACE_ADMIN_KEY: adminKey,
      ...(redis && { MILLRACE_REDIS_URL: redis.url }),
      ...(postgres && { MILLRACE_POSTGRES_URL: postgres.url }),
    },
    nodeArgs,
  });
  const made = await createKey(gateway, adminKey, { name: 'memory', limits: { requests_per_minute: 100_000_000 } });
  const used = [
    made === undefined ? 'no keys' : 'a key',
    redis ? 'Redis' : 'memory',
    postgres ? 'Postgres' : 'the embedded database',
  ];
  tell(`\nStarted with ${used.join(', ')}.`);
  return {
    gateway,
    worker,
    generator: await Generator.start(stage),
    headers: { authorization: `Bearer ${made?.key ?? 'none'}` },
  };
}

async function memoryOf({ child }: Program): Promise<Memory> {
  const answer = once(child, 'message', { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  child.send({ kind: 'memory?' });
  const [memory] = (await answer) as [Memory];
  return memory;
}

function planFor({ gateway, headers }: Setting, body: object, more: Partial<LoadPlan>): LoadPlan {
  return {
    url: gateway.url,
    path: '/v1/chat/completions',
    headers,
    body: JSON.stringify({ model: 'bare', messages: [{ role: 'user', content: 'Say some words.' }], ...body }),
    clients: CLIENTS,
    requestsMax: 1,
    durationMs: PART_TIMEOUT_MS,
    settleMs: 0,
    timeoutMs: REQUEST_TIMEOUT_MS,
    first: 'word0',
    expected: ['word'],
    ...more,
  };
}

/** Asks in ten parts and looks at the gateway's memory after each. */
async function measureFlatness(setting: Setting, what: string, plan: LoadPlan): Promise<void> {
  // More at a time than are measured, so that what V8 sets aside for the young has the size that it will have.
  await setting.generator.run({ ...plan, clients: WARM_UP_CLIENTS });
  tell(`${plan.requestsMax * SAMPLES} ${what}:`);
  const samples: Memory[] = [];
  for (let part = 1; part <= SAMPLES; part++) {
    const { answered, failed, failures, elapsedMs } = await setting.generator.run(plan);
    if (failed > 0) breaches.push(`${failed} ${what} failed: ${failures[0]}`);
    const memory = await memoryOf(setting.gateway);
    samples.push(memory);
    tell(
      `  ${String(part * plan.requestsMax).padStart(8)}: ${inMib(memory)}, ${((answered / elapsedMs) * 1_000).toFixed(0)} requests/s`,
    );
  }
  for (const kind of ['rss', 'heapUsed'] as const) {
    const [first, ...later] = samples.slice(WARM_UP_SAMPLES).map((memory) => memory[kind]);
    const last = later.at(-1)!;
    const share = last / first! - 1;
    tell(
      `  ${kind}, from sample ${WARM_UP_SAMPLES + 1} to the last: ${share >= 0 ? '+' : '−'}${(Math.abs(share) * 100).toFixed(1)} %`,
    );
    // Code that V8 throws away and what it gives back make it less; that is no leak.
    if (share > FLAT && last - first! > SLACK_BYTES) {
      breaches.push(`${kind} over ${what} went from ${mib(first!)} to ${mib(last)} MiB`);
    }
  }
}

async function measureRequests(setting: Setting): Promise<void> {
  const requestsMax = Math.ceil(Number(values.requests) / SAMPLES);
  await measureFlatness(setting, 'short requests', planFor(setting, { max_tokens: 4 }, { requestsMax }));
}

async function measureStreams(setting: Setting): Promise<void> {
  const requestsMax = Math.ceil(Number(values.tokens) / TOKENS_OF_A_STREAM / SAMPLES);
  const body = { max_tokens: TOKENS_OF_A_STREAM, stream: true };
  const expected = [`word${TOKENS_OF_A_STREAM - 1}"`, '[DONE]'];
  await measureFlatness(
    setting,
    `streams of ${TOKENS_OF_A_STREAM} tokens`,
    planFor(setting, body, { requestsMax, expected }),
  );
}

/** Streams that have begun and say nothing more, as of people who watch a model think. */
async function measureIdle(setting: Setting): Promise<void> {
  const { gateway, worker, generator } = setting;
  const count = Number(values.idle);
  await generator.run(planFor(setting, { stream: true, max_tokens: 4 }, { requestsMax: 2_000, expected: ['[DONE]'] }));
  const before = { gateway: await memoryOf(gateway), worker: await memoryOf(worker) };
  const sockets = await openStreams(setting, count);
  await sleep(2_000); // What opening them took is not what holding them takes.
  const open = { gateway: await memoryOf(gateway), worker: await memoryOf(worker) };
  tell(`${count} open streams that say nothing:`);
  for (const part of ['gateway', 'worker'] as const) {
    const grown = (kind: keyof Memory) => (open[part][kind] - before[part][kind]) / count;
    // What the load before freed may be used again, and then RSS alone would say that they cost nothing.
    const cost = Math.max(grown('rss'), grown('heapUsed') + grown('external'));
    tell(
      `  ${part}: ${inMib(before[part])} before, ${inMib(open[part])} with them: ${kib(cost)} KiB each (RSS ${kib(grown('rss'))}, heap ${kib(grown('heapUsed'))})`,
    );
    if (cost > IDLE_STREAM_BYTES_MAX)
      breaches.push(
        `an idle stream costs the ${part} ${kib(cost)} KiB; at most ${kib(IDLE_STREAM_BYTES_MAX)} are allowed`,
      );
  }
  for (const socket of sockets) socket.destroy();
  await until(
    async () => (await sequencesOf(gateway.url)) === 0,
    OPEN_TIMEOUT_MS,
    'the sequences of those who left are cancelled',
  );
  await sleep(1_000);
  const after = await memoryOf(gateway);
  tell(`  gateway after they left: ${inMib(after)}`);
  const left = after.heapUsed - before.gateway.heapUsed;
  if (left > SLACK_BYTES) breaches.push(`${mib(left)} MiB of heap stayed after the idle streams had left`);
}

/** Resolves when each has had its first token. */
async function openStreams({ gateway, headers }: Setting, count: number): Promise<readonly Socket[]> {
  const body = JSON.stringify({ model: 'bare', messages: [{ role: 'user', content: 'Wait.' }], stream: true });
  const all = {
    host: 'localhost',
    'content-type': 'application/json',
    'content-length': String(body.length),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const request = `POST /v1/chat/completions HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, () => openStream(gateway.port, request));
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

function openStream(port: number, request: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    const timer = setTimeout(
      () => reject(new Error(`No first token within ${OPEN_TIMEOUT_MS} ms: ${received}`)),
      OPEN_TIMEOUT_MS,
    );
    socket.setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (text) => {
      if (!received.includes('word0')) received += text;
      if (!received.includes('word0')) return;
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

/** Labels, caches, records: nothing may grow with what strangers make up. */
async function measureNames(setting: Setting): Promise<void> {
  const metrics = async () => (await (await fetch(`${setting.gateway.url}/metrics`)).text()).length;
  await setting.generator.run(planFor(setting, {}, { requestsMax: 1_000 }));
  const requestsMax = Math.ceil(Number(values.names) / SAMPLES);
  const numbered = '#########';
  let round = 0;
  const plan = planFor(
    setting,
    {},
    { requestsMax, numbered, status: 404, first: 'error', expected: ['model_not_found'] },
  );
  // A name differs in each part, too.
  const body = () =>
    JSON.stringify({ model: `no-${round++}-${numbered}`, messages: [{ role: 'user', content: 'Hello' }] });
  const before = await metrics();
  await measureFlatness(setting, 'names of models that nobody has', {
    ...plan,
    get body() {
      return body();
    },
  });
  const after = await metrics();
  tell(`  /metrics: ${before} bytes before, ${after} after`);
  if (after > METRICS_BYTES_MAX || after > before * 1.5)
    breaches.push(`/metrics grew from ${before} to ${after} bytes with names of models`);
}

function inMib({ rss, heapUsed, external }: Memory): string {
  return `RSS ${mib(rss)}, heap ${mib(heapUsed)}, external ${mib(external)} MiB`;
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}

function kib(bytes: number): string {
  return (bytes / KIB).toFixed(1);
}
