/**
 * What clients notice when workers and gateways die, are replaced, freeze, and when clients leave: nothing. Three gateways, three workers with
 * the built-in model, and 32 clients who ask for everything that an answer has to keep when it goes on elsewhere, at temperature 0.
 *
 * Every answer is compared with one that was given alone, before. Prints what it saw; exit status 1 when anything was not as promised.
 *
 *   node test/chaos/workers-away.ts [--clients 32] [--runs 1] [--scenes calm,worker-killed,all-replaced,worker-frozen,clients-gone]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { median, percentile } from '../bench/generator.ts';
import { Stage, until } from '../bench/programs.ts';
import { Fleet, type Member } from './fleet.ts';
import { askAlone, describe, GreedyCrowd } from './greedy-crowd.ts';
import { type Answer, askAndLeave, QUESTIONS } from './questions.ts';
import { Service } from './service.ts';

const GATEWAYS = 3;
const WORKERS = 3;
/** How soon whoever sends requests sees that a gateway stops; and how long those go on meanwhile. */
const POLL_MS = 250;
const DRAIN_DELAY_MS = 2_000;
const DRAIN_TIMEOUT_MS = 60_000;
/** So short that a worker that is replaced hands most of its answers back: much less than one takes. */
const WORKER_DRAIN_TIMEOUT_MS = 20;
/** Of what a program needs beyond these two, to say its last words and to write what it has. */
const STOP_GRACE_MS = 15_000;
/** As by default. */
const WORKER_SILENCE_MS_MAX = 5_000;
/** Until another worker has read what there is of an answer; on top of the longest gap before, which is the machine's own. */
const TAKE_OVER_MS_MAX = 5_000;
/** From a worker's silence to every gateway calling it lost: what it takes to look, on a machine where all share two cores. */
const NOTICE_MS_MAX = 3_000;
const CALM_MS = 15_000;
const KILLS = 4;
const BETWEEN_KILLS_MS = 4_000;
const FROZEN_MS = 30_000;
const HANG_UPS = 500;
const HANG_UP_ROUNDS = 3;
/** Until nothing is left of those who hung up. */
const GONE_MS_MAX = 5_000;
/** Of what gateways and workers hold, from after the first round of hanging up to after the last. */
const GROWTH_MAX = 1.2;
const GROWTH_BYTES_FREE = 64 * 1024 * 1024;
const USED_AGAIN_MS_MAX = 30_000;
const RECORDS_MS_MAX = 10_000;
const EXAMPLES_MAX = 5;

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '32' },
    runs: { type: 'string', default: '1' },
    scenes: { type: 'string' },
  },
});
const clients = Number(values.clients);

interface World {
  readonly fleet: Fleet;
  readonly service: Service;
  /** By the name of the question. */
  readonly alone: ReadonlyMap<string, Answer>;
}

const SCENES: Readonly<Record<string, (world: World, run: number) => Promise<void>>> = {
  calm: scene('nothing happens', () => sleep(CALM_MS)),
  'worker-killed': scene('workers are killed', killWorkers),
  'all-replaced': scene('gateways and workers are replaced one by one', rollAll),
  'worker-frozen': scene('a worker freezes', freezeWorker, WORKER_SILENCE_MS_MAX + TAKE_OVER_MS_MAX),
  'clients-gone': hangUp,
};
const breaches: string[] = [];
let scenesTold = 0;

process.exitCode = await main();

async function main(): Promise<number> {
  await using stage = new Stage();
  const fleet = await Fleet.start(stage, {
    gateways: GATEWAYS,
    workers: WORKERS,
    gatewayArgs: [
      `--drain-delay-ms=${DRAIN_DELAY_MS}`,
      `--drain-timeout-ms=${DRAIN_TIMEOUT_MS}`,
      `--worker-silence-ms-max=${WORKER_SILENCE_MS_MAX}`,
      `--max-queue-depth=${2 * HANG_UPS}`,
    ],
    workerArgs: [`--drain-timeout-ms=${WORKER_DRAIN_TIMEOUT_MS}`, '--threads=1', '--max-batch-size=16'],
  });
  const service = new Service(fleet.gateways, POLL_MS);
  stage.add(() => service.stop());
  const { alone, unstable } = await askAlone(service);
  for (const name of unstable) breach(`alone, ${name} is not the same streamed and whole`);
  const tokens = [...alone.values()].map(({ completionTokens }) => completionTokens);
  tell(`Alone: ${alone.size} questions, answers of ${Math.min(...tokens)} to ${Math.max(...tokens)} tokens.`);
  const world = { fleet, service, alone };
  for (let run = 1; run <= Number(values.runs); run++) {
    for (const name of values.scenes?.split(',') ?? Object.keys(SCENES)) {
      const play = SCENES[name];
      if (play === undefined)
        throw new Error(`No scene is called ${name}; there are ${Object.keys(SCENES).join(', ')}.`);
      await play(world, run);
    }
  }
  if (breaches.length > 0) {
    for (const { name, program } of [...fleet.gateways, ...fleet.workers])
      tell(`\nThe last of what ${name} wrote:\n${program.output.slice(-2_000)}`);
  }
  for (const promise of breaches) tell(`BROKEN: ${promise}`);
  tell(breaches.length === 0 ? 'All as promised.' : `${breaches.length} promises were broken.`);
  return breaches.length === 0 ? 0 : 1;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Told at once: a run of many minutes may be ended before its last line. */
function breach(promise: string): void {
  breaches.push(promise);
  tell(`BROKEN: ${promise}`);
}

/** What happens while clients ask; what it returns is told with the scene. */
type Trouble = (world: World) => Promise<unknown>;

function scene(title: string, trouble: Trouble, gapMsMax = Number.POSITIVE_INFINITY) {
  return async (world: World, run: number): Promise<void> => {
    const [prefix, broken] = [`chaos-${++scenesTold}-${Date.now().toString(36)}`, breaches.length];
    const crowd = new GreedyCrowd(clients, world.service, world.alone, prefix);
    const notes: string[] = [];
    let calmGapMs = 0;
    try {
      await sleep(BETWEEN_KILLS_MS);
      calmGapMs = crowd.longestGapMs();
      const note = await trouble(world);
      if (typeof note === 'string') notes.push(note);
    } catch (error) {
      breach(`${title}: ${describe(error)}`);
    } finally {
      await crowd.stop();
    }
    await nothingIsLeft(world, title);
    notes.push(await compareRecords(world, prefix, crowd));
    tellScene(`${title} (run ${run})`, crowd, gapMsMax + calmGapMs, notes, broken);
    tellDiffering(world, prefix, crowd);
  };
}

function tellScene(title: string, crowd: GreedyCrowd, gapMsMax: number, notes: string[], broken: number): void {
  const { asked, failures, differing } = crowd;
  const gapMs = crowd.longestGapMs();
  if (failures.length > 0) breach(`${title}: ${failures.length} requests failed`);
  if (differing.length > 0) breach(`${title}: ${differing.length} answers are not those given alone`);
  if (gapMs > gapMsMax) breach(`${title}: for ${gapMs.toFixed(0)} ms nothing came; ${gapMsMax.toFixed(0)} are allowed`);
  const tookMs = asked.map(({ tookMs: each }) => each);
  const times = `p50 ${median(tookMs).toFixed(0)}, p99 ${percentile(tookMs, 0.99).toFixed(0)}, slowest ${Math.max(...tookMs).toFixed(0)} ms`;
  tell(
    `${title}: ${asked.length + failures.length} requests, ${failures.length} failed, ${differing.length} differ; longest gap ${gapMs.toFixed(0)} ms; ${times}${breaches.length > broken ? '  BROKEN' : ''}`,
  );
  for (const note of notes) tell(`  ${note}`);
  for (const failure of failures.slice(0, EXAMPLES_MAX)) tell(`    ${failure}`);
}

/** Where nothing was continued, the batch has decided between two tokens that are as good as each other: docs/concepts/engine.md. */
function tellDiffering({ alone, fleet }: World, prefix: string, { differing }: GreedyCrowd): void {
  if (differing.length === 0) return;
  const records = new Map(fleet.records(prefix).map((record) => [record.request_id, record]));
  const continued = differing.filter(({ requestId }) => records.get(requestId)?.continued);
  tell(`  Of those that differ, ${continued.length} were continued.`);
  for (const { requestId, name, answer } of differing.slice(0, EXAMPLES_MAX)) {
    const { attempts, continued: wasContinued } = records.get(requestId) ?? {};
    tell(`    ${requestId}, ${name}, ${attempts} attempts${wasContinued ? ', continued' : ''}:`);
    tell(`      alone ${JSON.stringify(alone.get(name))}\n      now   ${JSON.stringify(answer)}`);
  }
}

/** How many went on elsewhere; and every request is one record. */
async function compareRecords({ fleet }: World, prefix: string, { asked, failures }: GreedyCrowd): Promise<string> {
  const wanted = asked.length + failures.length;
  const written = () => new Set(fleet.records(prefix).map(({ request_id }) => request_id)).size >= asked.length;
  await until(written, RECORDS_MS_MAX, '').catch(() => undefined);
  const records = fleet.records(prefix);
  const once = new Set(records.map(({ request_id }) => request_id));
  if (once.size < asked.length) breach(`${prefix}: ${asked.length} requests were answered, ${once.size} are on record`);
  if (records.length > once.size) breach(`${prefix}: ${records.length - once.size} requests are on record twice`);
  const continued = records.filter((record) => Boolean(record.continued)).length;
  const again = records.filter(({ attempts }) => attempts > 1).length;
  return `${wanted} requests, ${records.length} records: ${continued} continued elsewhere, ${again} asked of more than one worker`;
}

/** Neither on a worker nor in a gateway. */
async function nothingIsLeft({ fleet }: World, title: string): Promise<number> {
  const startedMs = performance.now();
  const isEmpty = async () => (await fleet.sequences()) + (await fleet.requests()) === 0;
  await until(isEmpty, GONE_MS_MAX, '').catch(async () => {
    breach(`${title}: ${await fleet.sequences()} sequences and ${await fleet.requests()} requests are left`);
  });
  return performance.now() - startedMs;
}

// ------------------------------------------------------------------------------------------------------------- scenes

/** Kill -9, one after another, each once the one before is back. */
async function killWorkers({ fleet }: World): Promise<void> {
  for (let kill = 0; kill < KILLS; kill++) {
    const victim = fleet.workers[kill % fleet.workers.length]!;
    await victim.program.kill();
    await fleet.startAgain(victim);
    await fleet.allReady();
    await sleep(BETWEEN_KILLS_MS);
  }
}

/** As a rolling update: one at a time, each given its time to stop, and the next once it is ready again. */
async function rollAll({ fleet, service }: World): Promise<string> {
  const stopMs = new Map<Member, number>();
  for (const member of [...fleet.gateways, ...fleet.workers]) {
    stopMs.set(member, await fleet.stopGently(member, DRAIN_DELAY_MS + DRAIN_TIMEOUT_MS + STOP_GRACE_MS));
    await fleet.startAgain(member);
    await until(() => fleet.gateways.every((gateway) => service.isReady(gateway)), USED_AGAIN_MS_MAX, 'all are ready');
    await fleet.allReady();
    await sleep(POLL_MS);
  }
  return `to stop took ${[...stopMs].map(([{ name }, ms]) => `${name} ${(ms / 1_000).toFixed(1)} s`).join(', ')}`;
}

async function freezeWorker({ fleet }: World): Promise<string> {
  const [victim] = fleet.workers as [Member];
  victim.program.signal('SIGSTOP');
  const frozenMs = performance.now();
  let lostMs = Number.NaN;
  try {
    await until(() => fleet.lostToAll(victim), FROZEN_MS, 'every gateway calls the frozen worker lost');
    lostMs = performance.now() - frozenMs;
    await sleep(Math.max(0, FROZEN_MS - lostMs));
  } finally {
    victim.program.signal('SIGCONT');
  }
  if (lostMs > WORKER_SILENCE_MS_MAX + NOTICE_MS_MAX)
    breach(`a frozen worker was called lost after ${lostMs.toFixed(0)} ms`);
  await fleet.allReady();
  const before = await fleet.settledBy(victim);
  const startedMs = performance.now();
  await until(async () => (await fleet.settledBy(victim)) > before, USED_AGAIN_MS_MAX, 'the worker is used again');
  const usedMs = performance.now() - startedMs;
  return `lost to all gateways after ${lostMs.toFixed(0)} ms, of which ${WORKER_SILENCE_MS_MAX} are allowed silence; used again ${usedMs.toFixed(0)} ms after it was there again`;
}

/** Half of them before the first token, half in mid-stream. */
async function hangUp(world: World, run: number): Promise<void> {
  const { fleet, service } = world;
  const title = `${HANG_UPS} clients hang up (run ${run})`;
  const broken = breaches.length;
  const notes: string[] = [];
  let first: { gateways: number; workers: number } | undefined;
  for (let round = 1; round <= HANG_UP_ROUNDS; round++) {
    const leaving = Array.from({ length: HANG_UPS }, async (_, index) => {
      const { url } = await service.pick();
      const question = QUESTIONS[index % QUESTIONS.length]!;
      await askAndLeave(url, question, index % 2 === 0 ? 0 : 1 + (index % 20), index);
    });
    const failed = (await Promise.allSettled(leaving)).filter(({ status }) => status === 'rejected');
    if (failed.length > 0)
      breach(`${title}: ${failed.length} failed: ${describe((failed[0] as PromiseRejectedResult).reason)}`);
    const goneMs = await nothingIsLeft(world, title);
    const held = { gateways: fleet.gatewayBytes(), workers: fleet.workerBytes() };
    notes.push(
      `round ${round}: nothing left after ${goneMs.toFixed(0)} ms; ${inMib(held.gateways)} and ${inMib(held.workers)} MiB`,
    );
    if (round === 1) first = held;
    else if (round === HANG_UP_ROUNDS) checkGrowth(title, first!, held);
  }
  tell(`${title}: memory of all gateways, and of all workers${breaches.length > broken ? '  BROKEN' : ''}`);
  for (const note of notes) tell(`  ${note}`);
}

function checkGrowth(
  title: string,
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): void {
  for (const [who, bytes] of Object.entries(after)) {
    if (bytes <= before[who]! * GROWTH_MAX + GROWTH_BYTES_FREE) continue;
    breach(`${title}: the ${who} held ${inMib(before[who]!)} MiB, and ${inMib(bytes)} in the end`);
  }
}

function inMib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}
