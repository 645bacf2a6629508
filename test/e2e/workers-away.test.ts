import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.js';
import { Fleet } from '../chaos/fleet.js';
import { askAlone, GreedyCrowd } from '../chaos/greedy-crowd.js';
import type { Answer } from '../chaos/questions.js';
import { Service } from '../chaos/service.js';

const POLL_MS = 100;
const STOP_MS_MAX = 30_000;
/** Much less than an answer takes, or nobody would have anything left to hand back. */
const DRAIN_TIMEOUT_MS = 10;

/** The small sister of test/chaos/workers-away.ts, which has more of everything. */
describe('with two workers, clients who compare every answer', () => {
  const stage = new Stage();
  let fleet: Fleet;
  let service: Service;
  let alone: ReadonlyMap<string, Answer>;
  beforeAll(async () => {
    fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 2,
      gatewayArgs: ['--drain-delay-ms=1000'],
      workerArgs: [`--drain-timeout-ms=${DRAIN_TIMEOUT_MS}`, '--threads=1', '--max-batch-size=8'],
    });
    service = new Service(fleet.gateways, POLL_MS);
    stage.add(() => service.stop());
    ({ alone } = await askAlone(service));
  }, 120_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  /** Clients ask while `trouble` is made; none of them may notice. */
  async function whileAsked(prefix: string, trouble: () => Promise<void>): Promise<number> {
    const crowd = new GreedyCrowd(8, service, alone, prefix);
    await sleep(1_000);
    await trouble().finally(() => crowd.stop());
    expect(crowd.failures).toEqual([]);
    expect(crowd.differing).toEqual([]);
    await expect.poll(() => fleet.sequences(), { timeout: 5_000 }).toBe(0);
    await expect.poll(() => fleet.records(prefix).length, { timeout: 5_000 }).toBe(crowd.asked.length);
    return fleet.records(prefix).filter(({ continued }) => continued).length;
  }

  it('do not notice that one is killed, and answers go on at the other', async () => {
    const [victim] = fleet.workers;
    const continued = await whileAsked('killed', async () => {
      await victim!.program.kill();
      await sleep(1_000);
      await fleet.startAgain(victim!);
      await fleet.allReady();
    });
    expect(continued).toBeGreaterThan(0);
  }, 120_000);

  it('do not notice that one is asked to stop, and hands back what it has', async () => {
    const [, leaver] = fleet.workers;
    const continued = await whileAsked('stopped', async () => {
      await fleet.stopGently(leaver!, STOP_MS_MAX);
      await sleep(500);
      await fleet.startAgain(leaver!);
      await fleet.allReady();
    });
    expect(continued).toBeGreaterThan(0);
  }, 120_000);
});
