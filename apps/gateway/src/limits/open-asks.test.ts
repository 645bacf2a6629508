import { describe, expect, it } from 'vitest';
import { OpenAsks } from './open-asks.js';
import type { RateAsk } from './rate-limiter.js';
import { ask, rule } from './rate-limiter.testing.js';

describe('OpenAsks', () => {
  const rules = [rule('concurrency', 1_000)];

  it('says again and again that the places of those that run are held, in commands of bounded size', async () => {
    const held: number[] = [];
    const asks = new OpenAsks({ hold: async (some: readonly RateAsk[]) => void held.push(some.length) }, 5);
    for (let each = 0; each < 250; each++) asks.add(ask(rules));
    await expect.poll(() => held.slice(0, 6)).toEqual([100, 100, 50, 100, 100, 50]);
    asks.close();
  });

  it('holds nothing for those that were settled, and goes on after a store failed', async () => {
    const held: string[][] = [];
    const asks = new OpenAsks(
      {
        hold: async (some: readonly RateAsk[]) => {
          held.push(some.map(({ id }) => id));
          if (held.length === 1) throw new Error('away');
        },
      },
      5,
    );
    const [gone, stays] = [ask(rules), ask(rules)];
    asks.add(gone);
    asks.add(stays);
    expect(asks.remove(gone)).toBe(true);
    expect(asks.remove(gone)).toBe(false);
    await expect.poll(() => held.slice(0, 2)).toEqual([[stays.id], [stays.id]]);
    asks.close();
    expect(asks.size).toBe(0);
  });
});
