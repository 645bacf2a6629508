/**
 * Whether a worker that has room for two models serves three of them under load: clients of all three ask without a
 * pause, so that a model has to go for every other one that comes. No request may fail, and the worker's memory must not
 * grow with the number of switches.
 *
 * How much room two of them need is read from the worker's own plans; then it is started again with a reserve that leaves
 * no more. Prints the most memory that the worker held in each hundred loads. Exit status 1 when a request failed or memory grew.
 *
 *   node test/chaos/model-switches.ts [--switches 1000] [--clients 6]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { childrenOf } from '../e2e/processes.ts';
import { ROOT, type Stack, startStack } from '../e2e/stack.ts';

const MIB = 1024 * 1024;
const SEQUENCES = 16;
/** Others use the machine too: what is free when the worker looks is not what was free when we did. */
const STARTS_MAX = 20;
/** From the first hundreds of loads to the last hundred. */
const GROWTH_MAX = 1.1;
/** Hundreds of loads in which glibc's heaps fill: the first alone had 709 MiB in one run and 788 in another, where both had 800 from then on. */
const FILLING_HUNDREDS = 3;
/** How the worker says what a model takes. */
const PLAN =
  /Memory: weights ([\d,]+) MiB, cache ([\d,]+) MiB .*?, computing about ([\d,]+) MiB; ([\d,]+) MiB free, ([\d,]+) MiB of it reserved/;

interface Model {
  readonly id: string;
  readonly path: string;
  /** So long that each takes about as much as the others. */
  readonly context: number;
}

const { values } = parseArgs({
  options: { switches: { type: 'string', default: '1000' }, clients: { type: 'string', default: '6' } },
});
const [switches, clients] = [Number(values.switches), Number(values.clients)];

const folder = mkdtempSync(join(tmpdir(), 'millrace-switches-'));
const models: readonly Model[] = [
  { id: 'demo', path: join(ROOT, 'models/millrace-demo.gguf'), context: 4_096 },
  { id: 'one', path: randomModel('1'), context: 8_192 },
  { id: 'other', path: randomModel('2'), context: 8_192 },
];
const modelsFile = join(folder, 'models.yaml');
const entries = models.map(({ id, path, context }) => `  - { id: ${id}, path: ${path}, context: ${context} }\n`);
writeFileSync(modelsFile, `defaultModel: demo\nmodels:\n${entries.join('')}`);
try {
  process.exitCode = await run();
} finally {
  rmSync(folder, { recursive: true });
}

/** A tiny model with random weights and the built-in one's vocabulary, so that loading takes no time of its own. */
function randomModel(seed: string): string {
  const script = join(ROOT, 'tools/random-model/write-random-model.ts');
  const path = join(folder, `random-${seed}.gguf`);
  const vocabulary = join(ROOT, 'models/millrace-demo.gguf');
  execFileSync(process.execPath, [script, '--vocab', vocabulary, '--size', 'tiny', '--seed', seed, '--out', path]);
  return path;
}

async function run(): Promise<number> {
  const needs = await neededMib();
  console.log(`Needed: ${models.map(({ id }, index) => `${id} ${needs[index]} MiB`).join(', ')}.`);
  const stack = await startWithRoomForTwo(needs);
  try {
    return await switchModels(stack);
  } finally {
    await stack.stop();
  }
}

async function start(reserveMib: number): Promise<Stack> {
  return startStack({
    args: [
      '--models-file',
      modelsFile,
      '--max-batch-size',
      String(SEQUENCES),
      '--memory-reserve-mib',
      String(reserveMib),
    ],
    environment: { MILLRACE_LOG_FORMAT: 'text' },
  });
}

/** What each model takes, as the worker plans it when there is room for all. */
async function neededMib(): Promise<readonly number[]> {
  const stack = await start(256);
  try {
    for (const { id } of models) await ask(stack, id);
    return models.map(({ path }) => planOf(stack, path).neededMib);
  } finally {
    await stack.stop();
  }
}

function planOf(stack: Stack, path: string): { readonly neededMib: number; readonly usableMib: number } {
  const line = stack
    .output()
    .split('\n')
    .find((each) => each.includes('Memory: ') && each.includes(path));
  const found = PLAN.exec(line ?? '');
  if (found === null) throw new Error(`The worker logged no plan for ${path}:\n${stack.output()}`);
  const [weights, cache, compute, free, reserved] = found.slice(1).map((number) => Number(number.replaceAll(',', '')));
  return { neededMib: weights! + cache! + compute!, usableMib: free! - reserved! };
}

/** Room for the two largest and half of the smallest. */
async function startWithRoomForTwo(needs: readonly number[]): Promise<Stack> {
  const [smallest = 0, ...larger] = [...needs].sort((one, other) => one - other);
  const least = larger.reduce((sum, each) => sum + each, 0);
  const wanted = Math.round(least + smallest / 2);
  for (let starts = 1; starts <= STARTS_MAX; starts++) {
    const stack = await start(Math.floor(freemem() / MIB) - wanted).catch(() => undefined);
    if (stack === undefined) continue; // There was not even room for one.
    const { usableMib } = planOf(stack, models[0]!.path);
    if (usableMib >= least && usableMib < least + smallest) {
      console.log(`The models may use ${usableMib} MiB together.`);
      return stack;
    }
    await stack.stop();
  }
  throw new Error(
    `What is free on this machine changes too fast: in ${STARTS_MAX} starts it was never what it had been.`,
  );
}

/** @returns the exit status. */
async function switchModels(stack: Stack): Promise<number> {
  const worker = childrenOf(stack.serve.pid!).find(({ command }) => command.includes('/worker/'));
  if (worker === undefined) throw new Error('The worker process is not there.');
  const failures: string[] = [];
  const answered = new Map(models.map(({ id }) => [id, 0]));
  const startedMs = performance.now();
  const loads = () => stack.output().split('The model is loaded.').length - 1;
  const isDone = () => loads() >= switches || failures.length > 20;
  const client = async (index: number) => {
    const { id } = models[index % models.length]!;
    while (!isDone()) {
      try {
        await ask(stack, id);
        answered.set(id, answered.get(id)! + 1);
      } catch (error) {
        failures.push(`${id}: ${String(error)}`);
      }
    }
  };
  const running = Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  const seconds = () => ((performance.now() - startedMs) / 1_000).toFixed(0);
  const peaks: number[] = [];
  // Which two are loaded differs from moment to moment, so the most of each hundred loads is compared.
  let peakMib = 0;
  while (!isDone()) {
    peakMib = Math.max(peakMib, rssMib(worker.pid));
    if (loads() >= (peaks.length + 1) * 100) {
      peaks.push(peakMib);
      const counts = [...answered].map(([id, count]) => `${id} ${count}`).join(', ');
      const loaded = String(loads()).padStart(5);
      console.log(
        `${loaded} loads, ${seconds()} s: VmRSS at most ${peakMib} MiB; answers: ${counts}; failures: ${failures.length}`,
      );
      peakMib = 0;
    }
    await sleep(20);
  }
  await running;
  const growth = (peaks.at(-1) ?? 1) / Math.max(1, ...peaks.slice(0, FILLING_HUNDREDS));
  console.log(
    `${loads()} loads in ${seconds()} s; memory grew to ${growth.toFixed(2)} of the first ${FILLING_HUNDREDS} hundreds'; failures: ${failures.length}`,
  );
  for (const failure of failures.slice(0, 10)) console.log(failure);
  return failures.length === 0 && growth <= GROWTH_MAX ? 0 : 1;
}

async function ask(stack: Stack, model: string): Promise<void> {
  const response = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8 }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`);
}

function rssMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
}
