/**
 * A batch of thousands of lines on the built-in model, while the worker, Redis and the gateway are killed, each once: every line is answered
 * exactly once, in its place. Redis keeps nothing, so the queue is empty when it comes back.
 *
 * Prints what it saw; exit status 1 when anything was not as promised.
 *
 *   node test/chaos/batch-away.ts [--lines 10000] [--tokens 8] [--queue redis|database]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Stage } from '../bench/programs.ts';
import { RealRedis } from '../services/real-redis.ts';
import { WatchedBatch } from './batch.ts';
import { Fleet } from './fleet.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    tokens: { type: 'string', default: '8' },
    queue: { type: 'string', default: 'redis' },
  },
});
const lines = Number(values.lines);
/** Of all of it; a lease that ran out and a start of the database are part of that. */
const TIMEOUT_MS = 30 * 60_000;
const AWAY_MS = 2_000;

process.exitCode = await main();

async function main(): Promise<number> {
  await using stage = new Stage();
  const redis = values.queue === 'redis' ? await RealRedis.start() : undefined;
  if (redis !== undefined) stage.add(() => redis.end());
  const fleet = await Fleet.start(stage, {
    gateways: 1,
    workers: 1,
    gatewayArgs: redis === undefined ? [] : [`--redis-url=${redis.url}`],
    workerArgs: ['--threads=1'],
  });
  const [gateway, worker] = [fleet.gateways[0]!, fleet.workers[0]!];
  const startedMs = performance.now();
  const batch = await WatchedBatch.make(gateway.url, { lines, tokens: Number(values.tokens) });
  const told = (what: string) => tell(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7)} s  ${what}`);

  await batch.reaches(lines / 4, TIMEOUT_MS);
  await worker.program.kill();
  told('the worker was killed');
  await sleep(AWAY_MS);
  await fleet.startAgain(worker);

  await batch.reaches(lines / 2, TIMEOUT_MS);
  if (redis !== undefined) {
    await redis.kill();
    told('Redis was killed, with all that it had');
    await sleep(AWAY_MS);
    await redis.start();
  }

  await batch.reaches((lines * 3) / 4, TIMEOUT_MS);
  await gateway.program.kill();
  told('the gateway was killed, and its database with it');
  await sleep(AWAY_MS);
  await fleet.startAgain(gateway);

  const { request_counts: counts, usage } = await batch.completed(TIMEOUT_MS);
  told(`the batch is over: ${JSON.stringify(counts)}, ${usage?.output_tokens} tokens`);
  const faults = await batch.faults();
  for (const fault of faults) tell(`BROKEN: ${fault}`);
  const asked = fleet.records(batch.prefix).length;
  tell(`${asked} requests are on record, ${Math.max(0, asked - (lines - 1))} more than lines that were answered.`);
  tell(faults.length === 0 ? 'All as promised.' : `${faults.length} promises were broken.`);
  return faults.length === 0 ? 0 : 1;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
