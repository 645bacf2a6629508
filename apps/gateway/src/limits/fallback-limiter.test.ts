import type { IncomingMessage, ServerResponse } from 'node:http';
import { createLogger, startMetrics } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryRateLimiter } from './adapters/memory-rate-limiter.js';
import { FallbackLimiter } from './fallback-limiter.js';
import type { BudgetUse, RateAsk, RateDecision, SharedRateLimiter } from './rate-limiter.js';
import { ask, rule, ShiftedClock } from './rate-limiter.testing.js';

const RETRY_MS = 20;

/** Counts as a Redis would, until it is told to be away: then it refuses, or answers nothing, or counts and says nothing. */
class AwayLimiter implements SharedRateLimiter {
  readonly trouble = undefined;
  state: 'here' | 'away' | 'deaf' = 'here';
  calls = 0;
  readonly #counting: MemoryRateLimiter;

  constructor(nowMs: () => number) {
    this.#counting = new MemoryRateLimiter(nowMs);
  }

  async #answer<Result>(count: () => Promise<Result>): Promise<Result> {
    this.calls++;
    if (this.state === 'away') throw new Error('connection refused');
    const result = await count();
    if (this.state === 'deaf') throw new Error('no answer within 250 ms');
    return result;
  }

  take = (asked: RateAsk): Promise<RateDecision> => this.#answer(() => this.#counting.take(asked));
  settle = (asked: RateAsk, tokens: number) => this.#answer(() => this.#counting.settle(asked, tokens));
  hold = (asks: readonly RateAsk[]) => this.#answer(() => this.#counting.hold(asks));
  seed = (counter: string, used: BudgetUse) => this.#answer(() => this.#counting.seed(counter, used));
  probe = () => this.#answer(async () => {});
  close = () => this.#counting.close();
}

describe('FallbackLimiter', () => {
  let lines: string[];
  let clock: ShiftedClock;
  let shared: AwayLimiter;
  let limiter: FallbackLimiter;

  const gateway = (settles = { queueMax: 100, atOnceMax: 4, attemptsMax: 3, retryMs: 5 }) => {
    const logger = createLogger(
      { name: 'gateway', level: 'debug', format: 'json' },
      { write: (line: string) => void lines.push(line) },
    );
    return new FallbackLimiter(shared, new MemoryRateLimiter(clock.nowMs), { retryMs: RETRY_MS, settles }, logger);
  };
  const admitted = async (times: number, from: FallbackLimiter, rules = [rule('requests_per_minute', 10)]) => {
    let count = 0;
    for (let time = 0; time < times; time++) count += (await from.take(ask(rules))).outcome === 'admitted' ? 1 : 0;
    return count;
  };
  const backAgain = () => expect.poll(() => limiter.trouble).toBeUndefined();

  beforeEach(() => {
    lines = [];
    clock = new ShiftedClock(Date.UTC(2026, 10, 21, 12));
    shared = new AwayLimiter(clock.nowMs);
    limiter = gateway();
  });
  afterEach(() => limiter.close());

  it('counts together with the others while the shared one is there', async () => {
    const other = gateway();
    expect(await admitted(7, limiter)).toBe(7);
    expect(await admitted(7, other)).toBe(3);
    expect(limiter.trouble).toBeUndefined();
    await other.close();
  });

  it('counts by itself from the first failure on, and asks nobody until a probe succeeds', async () => {
    shared.state = 'away';
    expect(await admitted(12, limiter)).toBe(10);
    expect(shared.calls).toBeLessThanOrEqual(2);
    expect(limiter.trouble).toBe(
      'Limits are counted by this gateway alone, since Redis does not count (connection refused).',
    );
    shared.state = 'here';
    await backAgain();
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual([
      'Redis does not count (connection refused): limits hold for this gateway alone until it is back.',
      'Redis counts again: limits hold for all gateways together.',
    ]);
  });

  it('gives nobody a second minute because the shared one went away', async () => {
    expect(await admitted(8, limiter)).toBe(8);
    shared.state = 'away';
    expect(await admitted(8, limiter)).toBe(2);
  });

  it('gives nobody a second minute because the shared one comes back empty', async () => {
    expect(await admitted(8, limiter)).toBe(8);
    await shared.close();
    expect(await admitted(8, limiter)).toBe(2);
  });

  it('asks nobody about what this gateway alone has used up, unless others may know better', async () => {
    expect(await admitted(10, limiter)).toBe(10);
    const { calls } = shared;
    expect(await admitted(10, limiter)).toBe(0);
    expect(shared.calls).toBe(calls);
    await shared.seed('key:b', { today: 0, thisMonth: 0 });
    const budget = [rule('daily_budget', 100, 'key:b')];
    const used = ask(budget, 100);
    await limiter.take(used);
    expect((await limiter.take(ask(budget, 1))).outcome).toBe('refused');
    await shared.seed('key:b', { today: 50, thisMonth: 50 });
    expect((await limiter.take(ask(budget, 1))).outcome).toBe('admitted');
  });

  it('counts exactly again once it is back', async () => {
    shared.state = 'away';
    expect(await admitted(20, limiter)).toBe(10);
    shared.state = 'here';
    await backAgain();
    clock.advance(61_000);
    const other = gateway();
    expect((await admitted(8, limiter)) + (await admitted(8, other))).toBe(10);
    await other.close();
  });

  it('settles what the shared one let through, late but once, and undoes what it counted unheard', async () => {
    const tokens = rule('tokens_per_minute', 1_000);
    const early = ask([tokens], 300);
    await limiter.take(early);
    shared.state = 'deaf';
    const unheard = ask([tokens], 400);
    expect((await limiter.take(unheard)).outcome).toBe('admitted');
    await limiter.settle(early, 30);
    await limiter.settle(unheard, 40);
    shared.state = 'here';
    await backAgain();
    await expect
      .poll(async () => await shared.take(ask([tokens, rule('requests_per_minute', 0)])))
      .toMatchObject({ standings: [{ used: 70 }, {}] });
  });

  it('frees what the shared one counted unheard, where this gateway refuses it', async () => {
    const own = rule('tokens_per_minute', 1_000);
    const place = rule('concurrency', 1);
    await limiter.take(ask([own], 900));
    shared.state = 'deaf';
    // Elsewhere the minute is over, so the shared one lets it through.
    await shared.close();
    expect((await limiter.take(ask([own, place], 900))).outcome).toBe('refused');
    shared.state = 'here';
    await backAgain();
    await expect.poll(async () => (await shared.take(ask([place]))).outcome).toBe('admitted');
  });

  it('frees what the shared one counted unheard, where this gateway knows too little and then refuses it', async () => {
    const rules = [rule('daily_budget', 100), rule('concurrency', 1)];
    await shared.seed('key:a', { today: 0, thisMonth: 0 });
    shared.state = 'deaf';
    const unheard = ask(rules, 10);
    expect(await limiter.take(unheard)).toEqual({ outcome: 'unseeded' });
    await limiter.seed('key:a', { today: 100, thisMonth: 100 });
    expect((await limiter.take({ ...unheard, fromZero: true })).outcome).toBe('refused');
    shared.state = 'here';
    await backAgain();
    await expect
      .poll(async () => await shared.take(ask(rules, 100)))
      .toMatchObject({ outcome: 'admitted', standings: [{ used: 0 }, { used: 0 }] });
  });

  it('goes on from what was last seen of a budget', async () => {
    const budget = rule('daily_budget', 1_000);
    await limiter.seed('key:a', { today: 600, thisMonth: 600 });
    await shared.seed('key:a', { today: 900, thisMonth: 900 });
    expect((await limiter.take(ask([budget], 50))).outcome).toBe('admitted');
    shared.state = 'away';
    expect(await limiter.take(ask([budget], 60))).toMatchObject({ outcome: 'refused', refusedBy: { used: 950 } });
    expect((await limiter.take(ask([budget], 50))).outcome).toBe('admitted');
  });

  it('keeps a budget spent that it was only ever refused for', async () => {
    const budget = rule('daily_budget', 1_000);
    await limiter.seed('key:a', { today: 600, thisMonth: 600 });
    await shared.seed('key:a', { today: 990, thisMonth: 990 });
    expect((await limiter.take(ask([budget], 50))).outcome).toBe('refused');
    shared.state = 'away';
    expect(await limiter.take(ask([budget], 50))).toMatchObject({ outcome: 'refused', refusedBy: { used: 990 } });
  });

  it('lets a budget begin at what it knows where the shared one comes back empty and the records are away', async () => {
    const budget = rule('daily_budget', 1_000);
    await limiter.seed('key:a', { today: 900, thisMonth: 900 });
    await limiter.take(ask([budget], 50));
    await shared.close();
    expect(await limiter.take(ask([budget], 60))).toEqual({ outcome: 'unseeded' });
    const decision = await limiter.take(ask([budget], 60, { fromZero: true }));
    expect(decision).toMatchObject({ outcome: 'refused', outdated: true, refusedBy: { used: 950 } });
    const other = gateway();
    expect(await other.take(ask([budget], 50, { fromZero: true }))).toMatchObject({ outcome: 'admitted' });
    shared.state = 'away';
    expect(await other.take(ask([budget], 50))).toMatchObject({ outcome: 'refused', outdated: true });
    await other.close();
  });

  it('asks that a budget used meanwhile be looked up when the shared one is back', async () => {
    const budget = rule('daily_budget', 1_000);
    await limiter.seed('key:a', { today: 0, thisMonth: 0 });
    expect(await limiter.take(ask([budget], 10))).toMatchObject({ outdated: false });
    shared.state = 'away';
    await limiter.take(ask([budget], 10));
    await limiter.take(ask([budget], 10));
    shared.state = 'here';
    await backAgain();
    expect(await limiter.take(ask([budget], 10))).toMatchObject({ outdated: true });
    expect(await limiter.take(ask([budget], 10))).toMatchObject({ outdated: false });
  });

  it('asks for a budget that neither knows', async () => {
    shared.state = 'away';
    const budget = rule('daily_budget', 1_000);
    expect(await limiter.take(ask([budget], 10))).toEqual({ outcome: 'unseeded' });
    await limiter.seed('key:a', { today: 995, thisMonth: 995 });
    expect((await limiter.take(ask([budget], 10))).outcome).toBe('refused');
  });

  it('tells the shared one of the places that are held since it was away', async () => {
    const place = rule('concurrency', 2);
    shared.state = 'away';
    const running = ask([place]);
    await limiter.take(running);
    shared.state = 'here';
    await backAgain();
    await limiter.hold([running]);
    expect(await shared.take(ask([place]))).toMatchObject({ outcome: 'admitted', standings: [{ used: 1 }] });
    await limiter.settle(running, 0);
    await expect.poll(async () => (await shared.take(ask([place]))).outcome).toBe('admitted');
  });

  it('takes no place again for a request that ends while places are held', async () => {
    const place = rule('concurrency', 1);
    const running = ask([place]);
    await limiter.take(running);
    const holding = limiter.hold([running]);
    await limiter.settle(running, 0);
    await holding;
    expect((await shared.take(ask([place]))).outcome).toBe('admitted');
  });

  it('keeps a bounded number of settlements while the shared one is away', async () => {
    limiter = gateway({ queueMax: 10, atOnceMax: 4, attemptsMax: 3, retryMs: 5 });
    const rules = [rule('tokens_per_minute', 1_000_000)];
    const asks = Array.from({ length: 30 }, () => ask(rules, 100));
    for (const one of asks) await limiter.take(one);
    shared.state = 'away';
    for (const one of asks) await limiter.settle(one, 0);
    shared.state = 'here';
    await backAgain();
    // The last ten are told, one more may have been on its way.
    await expect
      .poll(async () => await shared.take(ask([...rules, rule('requests_per_minute', 0)])))
      .toMatchObject({ standings: [{ used: 2_000 }, {}] });
  });

  it('measures whether it is alone, and what was not done for it', async () => {
    const metrics = startMetrics({ serviceName: 'test', serviceVersion: '0' });
    const measured = gateway();
    const scrape = () =>
      new Promise<string>((resolve) => {
        const response = { statusCode: 0, setHeader: () => {}, end: (text: string) => resolve(text) };
        metrics.answerScrape({} as IncomingMessage, response as unknown as ServerResponse);
      });
    await admitted(1, measured);
    expect(await scrape()).toMatch(/^millrace_limiter_fallback\S* 0/m);
    shared.state = 'away';
    await admitted(3, measured);
    expect(await scrape()).toMatch(/^millrace_limiter_fallback\S* 1/m);
    expect(await scrape()).toMatch(/^millrace_limiter_store_failures_total\{operation="take"\S* 1/m);
    shared.state = 'here';
    await expect.poll(() => measured.trouble).toBeUndefined();
    expect(await scrape()).toMatch(/^millrace_limiter_fallback\S* 0/m);
    await measured.close();
    await metrics.close();
  });

  it('ends though settlements can never be told', async () => {
    const rules = [rule('tokens_per_minute', 100)];
    const last = ask(rules, 50);
    await limiter.take(last);
    shared.state = 'away';
    await limiter.settle(last, 10);
    await limiter.close();
    expect(await shared.take(ask(rules)).catch(() => 'away')).toBe('away');
  });
});
