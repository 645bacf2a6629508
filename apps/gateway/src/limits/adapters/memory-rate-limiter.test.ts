import { describe, expect, it } from 'vitest';
import { rateLimiterContract } from '../rate-limiter.contract.js';
import { ask, rule, ShiftedClock } from '../rate-limiter.testing.js';
import { MemoryRateLimiter } from './memory-rate-limiter.js';

const NOON = Date.UTC(2026, 10, 21, 12);

rateLimiterContract('MemoryRateLimiter', async () => {
  const clock = new ShiftedClock(NOON);
  return { limiter: new MemoryRateLimiter(clock.nowMs), clock };
});

describe('MemoryRateLimiter', () => {
  const opened = (talliesMax = 1_000, reservationsMax = 1_000) => {
    const clock = new ShiftedClock(NOON);
    return { clock, limiter: new MemoryRateLimiter(clock.nowMs, { talliesMax, reservationsMax }) };
  };

  it('does not grow with the number of callers', async () => {
    const { limiter, clock } = opened();
    for (let caller = 0; caller < 20_000; caller++) {
      const rules = [rule('requests_per_minute', 5, `key:${caller}`), rule('daily_budget', 5, `key:${caller}`)];
      await limiter.take(ask(rules, 1, { fromZero: true }));
      clock.advance(1);
    }
    expect(limiter.size).toBeLessThanOrEqual(3_000);
  });

  it('forgets who asked longest ago first', async () => {
    const { limiter, clock } = opened(100);
    const often = [rule('requests_per_minute', 2, 'key:often')];
    await limiter.take(ask(often));
    for (let caller = 0; caller < 500; caller++) {
      await limiter.take(ask([rule('requests_per_minute', 5, `key:${caller}`)]));
      clock.advance(50);
      if (caller === 30) await limiter.take(ask(often));
      else if (caller > 30 && caller % 50 === 0) expect((await limiter.take(ask(often))).outcome).toBe('refused');
    }
  });

  it('forgets what is over', async () => {
    const { limiter, clock } = opened();
    for (let caller = 0; caller < 100; caller++) {
      const counter = `key:${caller}`;
      const rules = [rule('requests_per_minute', 5, counter), rule('monthly_budget', 5, counter)];
      await limiter.take(ask([...rules, rule('concurrency', 5, counter)], 1, { fromZero: true }));
    }
    expect(limiter.size).toBe(400);
    clock.advance(6 * 60_000);
    await limiter.take(ask([]));
    expect(limiter.size).toBe(101);
    clock.advance(31 * 86_400_000);
    await limiter.take(ask([]));
    expect(limiter.size).toBeLessThanOrEqual(2);
  });

  it('goes on from what another one let through', async () => {
    const { limiter } = opened();
    const rules = [rule('requests_per_minute', 2), rule('daily_budget', 100)];
    const elsewhere = ask(rules, 10);
    const standings = [
      { ...rules[0]!, used: 1, remaining: 0, resetMs: 0 },
      { ...rules[1]!, used: 70, remaining: 20, resetMs: 0 },
    ];
    limiter.mirror(elsewhere, { outcome: 'admitted', standings, outdated: false });
    expect(await limiter.take(ask(rules, 25))).toMatchObject({ refusedBy: { kind: 'daily_budget', used: 80 } });
    await limiter.settle(elsewhere, 5);
    expect(await limiter.take(ask(rules, 25))).toMatchObject({ standings: [{ remaining: 0 }, { remaining: 0 }] });
  });
});
