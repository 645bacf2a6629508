/**
 * What a batch job costs those who wait for their answers: clients who ask one after another, alone and beside a batch of thousands of lines
 * on the same gateway and worker, by turns, so that noise of the machine meets both.
 *
 *   node test/bench/batch-beside-interactive.ts [--lines 10000] [--clients 2] [--rounds 3] [--seconds 20] [--tokens 32] [--think-ms 100] [--json file]
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { WatchedBatch } from '../chaos/batch.ts';
import { ROOT } from '../e2e/stack.ts';
import { percentile } from './generator.ts';
import { Stage, startGateway, startWorker } from './programs.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    clients: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '20' },
    tokens: { type: 'string', default: '32' },
    'think-ms': { type: 'string', default: '100' },
    json: { type: 'string' },
  },
});
const [lines, clients, rounds, seconds, tokens, thinkMs] = [
  values.lines,
  values.clients,
  values.rounds,
  values.seconds,
  values.tokens,
  values['think-ms'],
].map(Number) as [number, number, number, number, number, number];
/** What was promised: the 95th percentile beside a batch, by the one alone. */
const RATIO_MAX = 1.5;
/** Before anything counts: compilers, caches of prompts, and the quiet after which a batch runs at its full width. */
const SETTLE_MS = 3_000;
const BATCH_TIMEOUT_MS = 60 * 60_000;
const MODELS_FILE = join(ROOT, 'configs/models.yaml');

await using stage = new Stage();
const worker = await startWorker(stage, { modelsFile: MODELS_FILE, args: ['--threads=1'] });
const gateway = await startGateway(stage, {
  worker,
  modelsFile: MODELS_FILE,
  dataFolder: stage.folder('bench'),
  args: [`--batch-lines-max=${Math.max(1, lines)}`],
});

let asked = 0;

interface Times {
  readonly firstMs: number;
  readonly wholeMs: number;
}

/** A question that nobody has asked, so that nothing kept answers it. */
async function ask(): Promise<Times> {
  const body = {
    messages: [{ role: 'user', content: `Tell me of the number ${asked++}.` }],
    max_tokens: tokens,
    temperature: 0,
    stream: true,
  };
  const startedMs = performance.now();
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-millrace-cache': 'off' },
    body: JSON.stringify(body),
  });
  let firstMs: number | undefined;
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    if (firstMs === undefined && text.includes('"content":"')) firstMs = performance.now() - startedMs;
  }
  if (response.status !== 200 || !text.includes('[DONE]')) throw new Error(`An answer broke off: ${text.slice(-300)}`);
  return { firstMs: firstMs ?? performance.now() - startedMs, wholeMs: performance.now() - startedMs };
}

async function interactive(durationMs: number): Promise<Times[]> {
  const endMs = performance.now() + durationMs;
  const times: Times[] = [];
  const client = async () => {
    while (performance.now() < endMs) {
      times.push(await ask());
      await sleep(Math.random() * 2 * thinkMs);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return times;
}

async function doneLines(batch: WatchedBatch): Promise<number> {
  const { completed, failed } = (await batch.look()).request_counts!;
  return completed + failed;
}

await interactive(SETTLE_MS);
const alone: Times[] = [];
const beside: Times[] = [];
let linesBeside = 0;
let besideMs = 0;
for (let round = 0; round < rounds; round++) {
  alone.push(...(await interactive(seconds * 1_000)));
  const batch = await WatchedBatch.make(gateway.url, { lines, tokens });
  await sleep(SETTLE_MS);
  const [before, startedMs] = [await doneLines(batch), performance.now()];
  beside.push(...(await interactive(seconds * 1_000)));
  linesBeside += (await doneLines(batch)) - before;
  besideMs += performance.now() - startedMs;
  if ((await batch.look()).completed_at != null)
    throw new Error(`The batch was over before its ${seconds} seconds were: give it more than ${lines} --lines.`);
  if (round < rounds - 1) {
    await batch.cancel();
    await batch.completed(BATCH_TIMEOUT_MS);
    continue;
  }
  const [left, restMs] = [lines - (await doneLines(batch)), performance.now()];
  await batch.completed(BATCH_TIMEOUT_MS);
  const restSeconds = (performance.now() - restMs) / 1_000;
  tell(`The rest of the batch with nobody else there: ${left} lines, ${(left / restSeconds).toFixed(1)} lines/s.`);
  for (const fault of await batch.faults()) tell(`BROKEN: ${fault}`);
}

const report = {
  clients,
  thinkMs,
  tokens,
  rounds,
  seconds,
  alone: summary(alone),
  beside: summary(beside),
  linesPerSecondBeside: linesBeside / (besideMs / 1_000),
  ratio: {
    first: percentile(firstOf(beside), 0.95) / percentile(firstOf(alone), 0.95),
    whole: percentile(wholeOf(beside), 0.95) / percentile(wholeOf(alone), 0.95),
  },
};
tell(`${clients} clients, ${tokens} tokens, ${rounds} rounds of ${seconds} s each.`);
tell(`             requests   first token p50 / p95     whole answer p50 / p95`);
tell(`alone        ${row(alone)}`);
tell(`beside       ${row(beside)}   and ${report.linesPerSecondBeside.toFixed(1)} lines/s of the batch`);
tell(
  `p95 beside a batch, by alone: first token ${report.ratio.first.toFixed(2)}, whole answer ${report.ratio.whole.toFixed(2)} (promised: at most ${RATIO_MAX}).`,
);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
process.exitCode = Math.max(report.ratio.first, report.ratio.whole) <= RATIO_MAX ? 0 : 1;

function firstOf(times: readonly Times[]): number[] {
  return times.map(({ firstMs }) => firstMs);
}

function wholeOf(times: readonly Times[]): number[] {
  return times.map(({ wholeMs }) => wholeMs);
}

function summary(times: readonly Times[]) {
  const of = (all: readonly number[]) => ({ p50: percentile(all, 0.5), p95: percentile(all, 0.95) });
  return { requests: times.length, firstMs: of(firstOf(times)), wholeMs: of(wholeOf(times)) };
}

function row(times: readonly Times[]): string {
  const { requests, firstMs, wholeMs } = summary(times);
  const pair = ({ p50, p95 }: { p50: number; p95: number }) => `${p50.toFixed(1)} / ${p95.toFixed(1)} ms`;
  return `${String(requests).padStart(8)}   ${pair(firstMs).padStart(22)}   ${pair(wholeMs).padStart(22)}`;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
