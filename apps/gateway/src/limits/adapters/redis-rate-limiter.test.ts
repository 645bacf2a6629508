import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rateLimiterContract } from '../rate-limiter.contract.js';
import type { LimitKind, RateAsk, RateLimiter } from '../rate-limiter.js';
import { ask, rule, ShiftedClock } from '../rate-limiter.testing.js';
import { MemoryRateLimiter } from './memory-rate-limiter.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';

const url = process.env.TEST_REDIS_URL;

describe.skipIf(url === undefined)('with a real Redis (TEST_REDIS_URL)', () => {
  const clients: Redis[] = [];
  let redis: Redis;
  const connect = () => {
    const client = new Redis(url!, { commandTimeout: 10_000 });
    clients.push(client);
    return client;
  };
  beforeAll(() => {
    redis = connect();
  });
  afterAll(async () => {
    for (const client of clients) await client.quit();
  });

  rateLimiterContract('RedisRateLimiter', async () => {
    const clock = new ShiftedClock();
    return { limiter: new RedisRateLimiter(redis, `test-${randomUUID()}`, () => clock.shiftMs), clock };
  });

  describe('RedisRateLimiter', () => {
    const opened = () => {
      const clock = new ShiftedClock();
      const prefix = `test-${randomUUID()}`;
      return { clock, prefix, limiter: new RedisRateLimiter(redis, prefix, () => clock.shiftMs) };
    };
    const admitted = async (limiter: RateLimiter, asks: readonly RateAsk[]) => {
      const decisions = await Promise.all(asks.map((one) => limiter.take(one)));
      return decisions.filter(({ outcome }) => outcome === 'admitted').length;
    };
    const many = (times: number, rules = [rule('requests_per_minute', 60)], tokens = 0) =>
      Array.from({ length: times }, () => ask(rules, tokens, { fromZero: true }));

    it('lets exactly the limit through when several gateways ask at once, for every kind of limit', async () => {
      const kinds: LimitKind[] = ['requests_per_minute', 'tokens_per_minute', 'concurrency', 'daily_budget'];
      for (const kind of kinds) {
        const prefix = `test-${randomUUID()}`;
        const gateways = [connect(), connect(), connect()].map((client) => new RedisRateLimiter(client, prefix));
        const limit = kind === 'requests_per_minute' || kind === 'concurrency' ? 60 : 600;
        const counts = gateways.map((gateway) => admitted(gateway, many(100, [rule(kind, limit)], 10)));
        expect((await Promise.all(counts)).reduce((sum, count) => sum + count)).toBe(60);
      }
    });

    it('goes on when Redis has forgotten its scripts', async () => {
      const { limiter } = opened();
      expect(await admitted(limiter, many(30))).toBe(30);
      await redis.script('FLUSH');
      expect(await admitted(limiter, many(50))).toBe(30);
    });

    it('begins anew when Redis has forgotten everything, and settles nothing that it does not know', async () => {
      const { limiter, prefix } = opened();
      const rules = [rule('tokens_per_minute', 100), rule('daily_budget', 100), rule('concurrency', 1)];
      const lost = ask(rules, 100, { fromZero: true });
      await limiter.take(lost);
      await redis.del(...(await keysOf(redis, prefix)));
      await limiter.settle(lost, 70);
      expect(await keysOf(redis, prefix)).toEqual([]);
      expect(await admitted(limiter, many(1, rules, 100))).toBe(1);
    });

    it('keeps a place that Redis has forgotten, as long as its request runs', async () => {
      const { limiter, prefix } = opened();
      const rules = [rule('concurrency', 1)];
      const running = ask(rules);
      await limiter.take(running);
      await redis.del(...(await keysOf(redis, prefix)));
      await limiter.hold([running]);
      expect(await admitted(limiter, many(1, rules))).toBe(0);
      await limiter.settle(running, 0);
      expect(await admitted(limiter, many(1, rules))).toBe(1);
    });

    it('gives every key an expiry, and puts them all into one slot', async () => {
      const { limiter, prefix } = opened();
      const kinds: LimitKind[] = [
        'requests_per_minute',
        'tokens_per_minute',
        'concurrency',
        'daily_budget',
        'monthly_budget',
      ];
      const one = ask(
        kinds.map((kind) => rule(kind, 1_000)),
        10,
        { fromZero: true },
      );
      await limiter.take(one);
      await limiter.seed('key:b', { today: 1, thisMonth: 1 });
      await limiter.hold([one]);
      const keys = await keysOf(redis, prefix);
      expect(keys).toHaveLength(8);
      for (const key of keys) {
        expect(key).toMatch(`{${prefix}}:`);
        expect(await redis.pttl(key)).toBeGreaterThan(0);
      }
    });

    it('remembers a minute in at most 61 cells, and writes them off', async () => {
      const { limiter, prefix, clock } = opened();
      clock.advanceTo(1_000, 500);
      for (let step = 0; step < 400; step++) {
        await limiter.take(ask([rule('requests_per_minute', 1e6)]));
        clock.advance(700);
      }
      const [key] = (await keysOf(redis, prefix)).filter((name) => name.includes(':r:'));
      const fields = await redis.hkeys(key!);
      expect(fields.filter((field) => /^\d+$/.test(field)).length).toBeLessThanOrEqual(61);
      clock.advance(61_000);
      await limiter.take(ask([rule('requests_per_minute', 1e6)]));
      expect(await redis.hlen(key!)).toBe(4);
    });

    it('decides as the one in memory does, whatever comes', async () => {
      const rules = [
        rule('requests_per_minute', 8),
        rule('tokens_per_minute', 300),
        rule('concurrency', 4),
        rule('daily_budget', 2_000),
      ];
      const steps = fc.array(
        fc.record({
          // Whole seconds: Redis' clock goes on while the other stands still, and both must see the same second.
          afterMs: fc.constantFrom(0, 0, 0, 1_000, 7_000, 29_000, 60_000),
          act: fc.constantFrom('take', 'take', 'take', 'settle', 'hold', 'seed'),
          place: fc.nat(30),
          tokens: fc.nat(120),
          which: fc.integer({ min: 1, max: 15 }),
        }),
        { maxLength: 40 },
      );
      await fc.assert(
        fc.asyncProperty(steps, async (acts) => {
          const { limiter, clock } = opened();
          clock.advanceTo(1_000, 50);
          const still = new ShiftedClock(clock.nowMs());
          const memory = new MemoryRateLimiter(still.nowMs);
          const asks: RateAsk[] = [];
          const sinceMs = performance.now();
          for (const { afterMs, act, place, tokens, which } of acts) {
            clock.advance(afterMs);
            still.advance(afterMs);
            const known = asks[place % Math.max(1, asks.length)];
            if (act === 'take') {
              const one = ask(
                rules.filter((_, index) => which & (1 << index)),
                tokens,
                { fromZero: true },
              );
              asks.push(one);
              const [theirs, ours] = [await limiter.take(one), await memory.take(one)];
              // On a machine so slow the two no longer see the same second.
              fc.pre(performance.now() - sinceMs < 800);
              expect(gist(theirs)).toEqual(gist(ours));
            } else if (act === 'settle' && known !== undefined) {
              await Promise.all([limiter.settle(known, tokens), memory.settle(known, tokens)]);
              asks.splice(asks.indexOf(known), 1);
            } else if (act === 'hold' && known !== undefined) {
              await Promise.all([limiter.hold([known]), memory.hold([known])]);
            } else if (act === 'seed') {
              const used = { today: tokens * 10, thisMonth: tokens * 10 };
              await Promise.all([limiter.seed('key:a', used), memory.seed('key:a', used)]);
            }
          }
        }),
        { numRuns: 150 },
      );
    });
  });
});

/** What two clocks that are a little apart agree on. */
function gist(decision: Awaited<ReturnType<RateLimiter['take']>>) {
  if (decision.outcome === 'unseeded') return decision;
  const { outcome, outdated, standings } = decision;
  const seconds = (ms: number | undefined) => (ms === undefined ? undefined : Math.round(ms / 1000));
  return {
    outcome,
    outdated,
    standings: standings.map((standing) => ({ ...standing, resetMs: seconds(standing.resetMs) })),
    refusedBy: outcome === 'refused' ? decision.refusedBy.kind : undefined,
    retryAfter: outcome === 'refused' ? seconds(decision.retryAfterMs) : undefined,
  };
}

async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const some of redis.scanStream({ match: `*${prefix}*` })) keys.push(...(some as string[]));
  return keys;
}
