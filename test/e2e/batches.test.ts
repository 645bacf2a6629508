import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.js';
import { WatchedBatch } from '../chaos/batch.js';
import { Fleet } from '../chaos/fleet.js';

const PATIENCE_MS = 180_000;

/** The small sister of test/chaos/batch-away.ts, which has more lines, and a Redis to lose. */
describe('a batch on the stores of one machine', () => {
  it('is answered line by line, though its worker is killed, and then its gateway', async () => {
    await using stage = new Stage();
    const fleet = await Fleet.start(stage, { gateways: 1, workers: 1, workerArgs: ['--threads=1'] });
    const [gateway, worker] = [fleet.gateways[0]!, fleet.workers[0]!];
    const batch = await WatchedBatch.make(gateway.url, { lines: 600, tokens: 12 });
    await batch.reaches(60, PATIENCE_MS);
    await worker.program.kill();
    await sleep(500);
    await fleet.startAgain(worker);
    await batch.reaches(200, PATIENCE_MS);
    await gateway.program.kill();
    await fleet.startAgain(gateway);
    await batch.completed(PATIENCE_MS);
    expect(await batch.faults()).toEqual([]);
  }, 600_000);
});
