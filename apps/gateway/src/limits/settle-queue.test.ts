import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ask, rule } from './rate-limiter.testing.js';
import { SettleQueue, type SettleQueueLimits } from './settle-queue.js';

describe('SettleQueue', () => {
  const rules = [rule('tokens_per_minute', 100)];
  const limits: SettleQueueLimits = { queueMax: 5, atOnceMax: 2, attemptsMax: 3, retryMs: 5 };

  /** A store that fails as often as it is told, and then works. */
  const opened = (failures: number, changes: Partial<SettleQueueLimits> = {}) => {
    const seen = { told: [] as number[], attempts: 0, lost: 0, atOnce: 0, atOnceMost: 0 };
    const settle = async (_ask: unknown, tokens: number) => {
      seen.attempts++;
      seen.atOnceMost = Math.max(seen.atOnceMost, ++seen.atOnce);
      await pause(1);
      seen.atOnce--;
      if (seen.attempts <= failures) throw new Error('away');
      seen.told.push(tokens);
    };
    return { seen, queue: new SettleQueue(settle, () => void seen.lost++, { ...limits, ...changes }) };
  };

  it('tries again what failed, a few times', async () => {
    const { seen, queue } = opened(2);
    queue.push(ask(rules), 7);
    await expect.poll(() => seen.told).toEqual([7]);
    expect(seen).toMatchObject({ attempts: 3, lost: 0 });
  });

  it('gives up after that, and says so', async () => {
    const { seen, queue } = opened(100);
    queue.push(ask(rules), 7);
    await expect.poll(() => seen.lost).toBe(1);
    expect(seen.attempts).toBe(3);
    expect(queue.size).toBe(0);
  });

  it('sends a bounded number at a time and keeps a bounded number, losing the oldest that waits', async () => {
    const { seen, queue } = opened(0);
    for (let tokens = 0; tokens < 8; tokens++) queue.push(ask(rules), tokens);
    expect(queue.size).toBe(5);
    await expect.poll(() => seen.told).toEqual([0, 1, 5, 6, 7]);
    expect(seen).toMatchObject({ lost: 3, atOnceMost: 2 });
  });

  it('wastes no attempt while it is paused', async () => {
    const { seen, queue } = opened(0);
    queue.pause();
    queue.push(ask(rules), 7);
    await pause(20);
    expect(seen.attempts).toBe(0);
    queue.resume();
    await expect.poll(() => seen.told).toEqual([7]);
  });

  it('ends with what is on its way told, and counts the rest as lost', async () => {
    const working = opened(0);
    for (let tokens = 0; tokens < 4; tokens++) working.queue.push(ask(rules), tokens);
    await working.queue.close(1_000);
    expect(working.seen).toMatchObject({ told: [0, 1, 2, 3], lost: 0 });
    working.queue.push(ask(rules), 9);
    expect(working.seen.lost).toBe(1);

    const paused = opened(0);
    paused.queue.pause();
    paused.queue.push(ask(rules), 1);
    await paused.queue.close(1_000);
    expect(paused.seen).toMatchObject({ told: [], lost: 1 });
  });
});
