import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BUDGET_TRUST_MS,
  CONCURRENCY_LEASE_MS,
  type LimitRule,
  type RateDecision,
  type RateLimiter,
} from './rate-limiter.js';
import { ask, retryMs, rule, type ShiftedClock } from './rate-limiter.testing.js';

const DAY_MS = 86_400_000;

/** What every adapter must do. Clocks of stores go on by themselves, so nothing here lasts a second unless it is told to. */
export function rateLimiterContract(
  adapter: string,
  open: () => Promise<{ readonly limiter: RateLimiter; readonly clock: ShiftedClock }>,
): void {
  describe(`${adapter} as a RateLimiter`, () => {
    let limiter: RateLimiter;
    let clock: ShiftedClock;
    beforeEach(async () => {
      ({ limiter, clock } = await open());
      clock.advanceTo(1_000, 100);
    });
    afterEach(() => limiter.close());

    const take = (rules: readonly LimitRule[], tokens = 0) => limiter.take(ask(rules, tokens, { fromZero: true }));
    const outcomes = async (times: number, rules: readonly LimitRule[], tokens = 0) => {
      const decisions: RateDecision[] = [];
      for (let time = 0; time < times; time++) decisions.push(await take(rules, tokens));
      return decisions.filter(({ outcome }) => outcome === 'admitted').length;
    };
    const usedOf = async (limited: LimitRule): Promise<number> => {
      // The second always refuses, so that nothing is changed by looking.
      const decision = await take([{ ...limited, limit: 1e15 }, rule('tokens_per_minute', 1, 'key:look')], 2);
      if (decision.outcome === 'unseeded') throw new Error('unseeded');
      return decision.standings[0]!.used;
    };

    it('lets as many requests through in a minute as the limit says, and says how many are left', async () => {
      const rules = [rule('requests_per_minute', 3)];
      const left: number[] = [];
      for (let time = 0; time < 3; time++) {
        const decision = await take(rules);
        expect(decision.outcome).toBe('admitted');
        if (decision.outcome === 'admitted') left.push(decision.standings[0]!.remaining);
      }
      expect(left).toEqual([2, 1, 0]);
      expect(await take(rules)).toMatchObject({
        outcome: 'refused',
        refusedBy: { counter: 'key:a', kind: 'requests_per_minute', limit: 3, used: 3, remaining: 0 },
      });
    });

    it('says how long to wait: not longer than a minute, and long enough', async () => {
      const rules = [rule('requests_per_minute', 2)];
      await take(rules);
      clock.advance(20_000);
      await take(rules);
      const waitMs = retryMs(await take(rules))!;
      expect(waitMs).toBeGreaterThan(38_000);
      expect(waitMs).toBeLessThanOrEqual(40_000);
      clock.advance(waitMs);
      expect(await outcomes(2, rules)).toBe(1);
    });

    it('begins a minute with each use, not with the clock', async () => {
      const rules = [rule('requests_per_minute', 10)];
      clock.advanceTo(60_000, 59_000);
      expect(await outcomes(20, rules)).toBe(10);
      clock.advance(2_000);
      expect(await outcomes(20, rules)).toBe(0);
      clock.advance(56_000);
      expect(await outcomes(20, rules)).toBe(0);
      clock.advance(3_000);
      expect(await outcomes(20, rules)).toBe(10);
    });

    it('counts tokens as they are reserved, and puts the real ones in their place', async () => {
      const limited = rule('tokens_per_minute', 100);
      const first = ask([limited], 60);
      expect((await limiter.take(first)).outcome).toBe('admitted');
      expect((await take([limited], 60)).outcome).toBe('refused');
      await limiter.settle(first, 10);
      expect(await usedOf(limited)).toBe(10);
      expect(await take([limited], 90)).toMatchObject({ outcome: 'admitted', standings: [{ remaining: 0 }] });
    });

    it('settles at the time of the reservation', async () => {
      const limited = rule('tokens_per_minute', 100);
      const first = ask([limited], 50);
      await limiter.take(first);
      clock.advance(50_000);
      await take([limited], 20);
      await limiter.settle(first, 80);
      expect(await usedOf(limited)).toBe(100);
      clock.advance(11_000);
      expect(await usedOf(limited)).toBe(20);
    });

    it('settles what has left the window without counting it again', async () => {
      const limited = rule('tokens_per_minute', 100);
      const first = ask([limited], 50);
      await limiter.take(first);
      clock.advance(61_000);
      await limiter.settle(first, 80);
      expect(await usedOf(limited)).toBe(0);
    });

    it('may be overdrawn by answers longer than was expected, and lets nobody through until that is past', async () => {
      const limited = rule('tokens_per_minute', 100);
      const first = ask([limited], 50);
      await limiter.take(first);
      await limiter.settle(first, 250);
      const refused = await take([limited], 0);
      expect(refused).toMatchObject({ outcome: 'refused', refusedBy: { used: 250, remaining: 0 } });
      clock.advance(retryMs(refused)!);
      expect((await take([limited], 100)).outcome).toBe('admitted');
    });

    it('changes nothing when settled twice, or for what is not known', async () => {
      const limited = rule('tokens_per_minute', 100);
      const first = ask([limited], 50);
      await limiter.take(first);
      await limiter.settle(first, 30);
      await limiter.settle(first, 0);
      await limiter.settle(ask([limited], 30), 0);
      expect(await usedOf(limited)).toBe(30);
    });

    it('says never of what is larger than the limit', async () => {
      const refused = await take([rule('tokens_per_minute', 100)], 101);
      expect(refused).toMatchObject({ outcome: 'refused', retryAfterMs: undefined, refusedBy: { used: 0 } });
    });

    it('counts in all of its limits or in none', async () => {
      const requests = rule('requests_per_minute', 10);
      const tokens = rule('tokens_per_minute', 100, 'model:m');
      const places = rule('concurrency', 10);
      await take([requests, tokens, places], 90);
      expect((await take([requests, tokens, places], 90)).outcome).toBe('refused');
      expect([await usedOf(requests), await usedOf(tokens), await usedOf(places)]).toEqual([1, 90, 1]);
    });

    it('keeps counters apart', async () => {
      expect(await outcomes(2, [rule('requests_per_minute', 1, 'key:a')])).toBe(1);
      expect(await outcomes(2, [rule('requests_per_minute', 1, 'key:b')])).toBe(1);
      expect(await outcomes(2, [rule('requests_per_minute', 1, 'key:a}{b')])).toBe(1);
    });

    it('gives places at a time, and takes them back when settled', async () => {
      const rules = [rule('concurrency', 2)];
      const first = ask(rules);
      await limiter.take(first);
      expect(await outcomes(5, rules)).toBe(1);
      expect(await take(rules)).toMatchObject({ outcome: 'refused', refusedBy: { kind: 'concurrency', used: 2 } });
      await limiter.settle(first, 5);
      await limiter.settle(first, 5);
      expect(await outcomes(5, rules)).toBe(1);
    });

    it('takes places back from whoever holds them no longer', async () => {
      const rules = [rule('concurrency', 2)];
      const held = ask(rules);
      await limiter.take(held);
      await take(rules);
      clock.advance(CONCURRENCY_LEASE_MS - 1_000);
      expect(await outcomes(1, rules)).toBe(0);
      await limiter.hold([held]);
      clock.advance(2_000);
      expect(await usedOf(rules[0]!)).toBe(1);
      expect(await outcomes(2, rules)).toBe(1);
    });

    it('settles hours after, if it was held', async () => {
      const limited = rule('daily_budget', 1_000);
      clock.advanceTo(DAY_MS, 60_000);
      const long = ask([limited], 500, { fromZero: true });
      await limiter.take(long);
      for (let minute = 0; minute < 20; minute += 4) {
        clock.advance(4 * 60_000);
        await limiter.hold([long]);
      }
      await limiter.settle(long, 20);
      expect(await usedOf(limited)).toBe(20);
    });

    it('asks to be told of a budget that it knows nothing of, and counts nothing meanwhile', async () => {
      const budget = rule('daily_budget', 1_000);
      const requests = rule('requests_per_minute', 5);
      expect(await limiter.take(ask([requests, budget], 10))).toEqual({ outcome: 'unseeded' });
      expect(await usedOf(requests)).toBe(0);
      await limiter.seed('key:a', { today: 995, thisMonth: 5_000 });
      expect(await limiter.take(ask([requests, budget], 10))).toMatchObject({
        outcome: 'refused',
        outdated: false,
        refusedBy: { kind: 'daily_budget', used: 995, remaining: 5 },
      });
      expect((await limiter.take(ask([requests, budget], 5))).outcome).toBe('admitted');
    });

    it('begins an unknown budget at what somebody knows of it, and no other', async () => {
      const [day, month, requests] = [
        rule('daily_budget', 100),
        rule('monthly_budget', 1_000),
        rule('requests_per_minute', 5),
      ];
      const begins = { fromZero: true, begins: [70, 700, 0] };
      const refused = await limiter.take(ask([day, month, requests], 40, begins));
      expect(refused).toMatchObject({ outcome: 'refused', outdated: true, refusedBy: { used: 70 } });
      const admitted = await limiter.take(ask([day, month, requests], 30, begins));
      expect(admitted).toMatchObject({ outcome: 'admitted', standings: [{ used: 70 }, { used: 700 }, { used: 0 }] });
      expect(await limiter.take(ask([day], 1, begins))).toMatchObject({ outcome: 'refused', refusedBy: { used: 100 } });
      await limiter.seed('key:a', { today: 0, thisMonth: 0 });
      expect(await limiter.take(ask([day], 1, begins))).toMatchObject({
        outcome: 'admitted',
        standings: [{ used: 0 }],
      });
    });

    it('says that a budget which began at 0 is outdated, and one that was seeded after a while', async () => {
      const budget = rule('monthly_budget', 1_000);
      expect(await take([budget], 10)).toMatchObject({ outcome: 'admitted', outdated: true });
      await limiter.seed('key:a', { today: 0, thisMonth: 100 });
      expect(await take([budget], 10)).toMatchObject({ outcome: 'admitted', outdated: false });
      clock.advance(BUDGET_TRUST_MS);
      expect(await take([budget], 10)).toMatchObject({ outcome: 'admitted', outdated: true });
    });

    it('counts what was reserved before a budget was seeded once it is settled', async () => {
      const budget = rule('daily_budget', 1_000);
      const before = ask([budget], 300, { fromZero: true });
      await limiter.take(before);
      await limiter.seed('key:a', { today: 100, thisMonth: 100 });
      const after = ask([budget], 300);
      await limiter.take(after);
      expect(await usedOf(budget)).toBe(400);
      await limiter.settle(before, 50);
      await limiter.settle(after, 20);
      expect(await usedOf(budget)).toBe(170);
    });

    it('begins a day anew at 00:00 UTC', async () => {
      const budget = rule('daily_budget', 100);
      clock.advanceTo(DAY_MS, DAY_MS - 2_000);
      const first = ask([budget], 100, { fromZero: true });
      await limiter.take(first);
      const waitMs = retryMs(await take([budget], 1))!;
      expect(waitMs).toBeGreaterThan(500);
      expect(waitMs).toBeLessThanOrEqual(2_000);
      clock.advance(waitMs);
      await limiter.settle(first, 70);
      expect(await take([budget], 100)).toMatchObject({ outcome: 'admitted', standings: [{ used: 0, remaining: 0 }] });
    });

    it('takes over nothing for a day that was read before its midnight', async () => {
      const budget = rule('daily_budget', 100);
      clock.advanceTo(DAY_MS, DAY_MS - 1_000);
      const beforeMs = clock.nowMs();
      clock.advance(2_000);
      await limiter.seed('key:a', { today: 90, thisMonth: 90, atMs: beforeMs });
      expect(await usedOf(budget)).toBe(0);
      await take([budget], 50);
      await limiter.seed('key:a', { today: 90, thisMonth: 90, atMs: beforeMs });
      expect(await usedOf(budget)).toBe(50);
      await limiter.seed('key:a', { today: 20, thisMonth: 90, atMs: clock.nowMs() });
      expect(await usedOf(budget)).toBe(20);
    });

    it('begins a month anew on its first day, whatever its length', async () => {
      const budget = rule('monthly_budget', 100);
      for (let month = 0; month < 26; month++) {
        expect(await outcomes(2, [budget], 100)).toBe(1);
        const refused = await take([budget], 1);
        const now = new Date(clock.nowMs());
        const beginsMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1);
        // The store's clock went on since it answered.
        expect(Math.abs(beginsMs - clock.nowMs() - retryMs(refused)!)).toBeLessThan(900);
        clock.advance(retryMs(refused)! + 1_000);
      }
    });

    it('is refused by what takes longest, and by a budget before all', async () => {
      const requests = rule('requests_per_minute', 1);
      const tokens = rule('tokens_per_minute', 100);
      await take([requests], 0);
      clock.advance(10_000);
      await take([tokens], 100);
      expect(await take([requests, tokens], 50)).toMatchObject({ refusedBy: { kind: 'tokens_per_minute' } });
      await limiter.seed('key:a', { today: 1_000, thisMonth: 1_000 });
      const all = [requests, tokens, rule('daily_budget', 1_000), rule('monthly_budget', 1_000)];
      expect(await take(all, 50)).toMatchObject({ refusedBy: { kind: 'monthly_budget' } });
      expect(await take(all.slice(0, 3), 500)).toMatchObject({ refusedBy: { kind: 'daily_budget' } });
    });

    it('resets when the last use has left', async () => {
      const rules = [rule('requests_per_minute', 5)];
      const fresh = await take(rules);
      clock.advance(30_000);
      const later = await take(rules);
      for (const decision of [fresh, later]) {
        if (decision.outcome !== 'admitted') throw new Error(decision.outcome);
        expect(decision.standings[0]!.resetMs).toBeGreaterThan(59_000);
        expect(decision.standings[0]!.resetMs).toBeLessThanOrEqual(60_000);
      }
    });

    it('counts large limits exactly', async () => {
      const limited = rule('tokens_per_minute', 1_000_000_000_000);
      expect((await take([limited], 999_999_999_999)).outcome).toBe('admitted');
      expect((await take([limited], 2)).outcome).toBe('refused');
      expect(await take([limited], 1)).toMatchObject({ outcome: 'admitted', standings: [{ remaining: 0 }] });
    });

    it('lets exactly the limit through when all ask at once', async () => {
      const rules = [rule('requests_per_minute', 60), rule('tokens_per_minute', 1_000)];
      const decisions = await Promise.all(Array.from({ length: 200 }, () => take(rules, 10)));
      expect(decisions.filter(({ outcome }) => outcome === 'admitted')).toHaveLength(60);
    });
  });
}
