import { InferenceError, toOpenAiResponse } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Caller, KeyLimits } from '../vocabulary.js';
import { ANYONE } from '../vocabulary.js';
import { MemoryRateLimiter } from './adapters/memory-rate-limiter.js';
import type { ExpectedUse, RateHold } from './caller-rates.js';
import { CountedRates } from './counted-rates.js';
import type { ModelLimits } from './limit-rules.js';
import { BUDGET_TRUST_MS, type BudgetUse } from './rate-limiter.js';
import { ShiftedClock } from './rate-limiter.testing.js';

const NOON = Date.UTC(2026, 10, 21, 12);
const STAYS = new AbortController().signal;

function aCaller(limits: KeyLimits, id = 'k1'): Caller {
  return { ...ANYONE, keyId: id, keyName: 'alice', limits };
}

function use(changes: Partial<ExpectedUse> = {}): ExpectedUse {
  return { model: 'm', promptTokens: 10, answers: 1, answerTokensMax: 90, ...changes };
}

describe('CountedRates', () => {
  let clock: ShiftedClock;
  let limiter: MemoryRateLimiter;
  let rates: CountedRates;
  let headers: Record<string, string>;
  let used: () => Promise<BudgetUse>;
  let models: Record<string, ModelLimits>;
  let looked: string[];

  beforeEach(() => {
    clock = new ShiftedClock(NOON);
    limiter = new MemoryRateLimiter(clock.nowMs);
    headers = {};
    models = {};
    looked = [];
    used = async () => ({ today: 0, thisMonth: 0 });
    rates = new CountedRates(limiter, {
      modelLimits: (model) => models[model],
      usedTokens: (keyId) => {
        looked.push(keyId);
        return used();
      },
      answerTokensEstimate: 200,
      nowMs: clock.nowMs,
    });
  });
  afterEach(() => rates.close());

  const tell = (more: Readonly<Record<string, string>>) => {
    headers = { ...headers, ...more };
  };
  const take = (caller: Caller, expected = use(), signal = STAYS): Promise<RateHold> =>
    rates.take({ caller, tell }, expected, signal);
  const refusalOf = async (caller: Caller, expected = use()) => {
    const thrown = await take(caller, expected).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!(thrown instanceof InferenceError)) throw new Error('It was let through.');
    return { message: thrown.message, ...toOpenAiResponse(thrown) };
  };

  it('counts nothing for who has no limits, and tells them of none', async () => {
    for (const caller of [ANYONE, aCaller({})]) (await take(caller)).settle(5);
    expect(headers).toEqual({});
    expect(limiter.size).toBe(0);
  });

  it('tells the headers that OpenAI sends, of the limits that there are', async () => {
    await take(aCaller({ requestsPerMinute: 60 }));
    expect(headers).toEqual({
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '59',
      'x-ratelimit-reset-requests': '1m0s',
    });
    headers = {};
    await take(aCaller({ requestsPerMinute: 60, tokensPerMinute: 1_000 }, 'k2'));
    expect(headers).toMatchObject({
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '900',
      'x-ratelimit-reset-tokens': '1m0s',
    });
  });

  it('tells of the limit with the least left, be it the key’s or the model’s', async () => {
    models = { m: { requestsPerMinute: 5 } };
    await take(aCaller({ requestsPerMinute: 60 }));
    expect(headers['x-ratelimit-limit-requests']).toBe('5');
    models = { m: { requestsPerMinute: 600 } };
    await take(aCaller({ requestsPerMinute: 60 }, 'k2'));
    expect(headers['x-ratelimit-limit-requests']).toBe('60');
  });

  it('refuses with what is used, what is asked, when to come back, and which limit it was', async () => {
    const caller = aCaller({ requestsPerMinute: 2 });
    await take(caller);
    clock.advance(20_000);
    await take(caller);
    const refused = await refusalOf(caller);
    expect(refused.message).toBe(
      'Rate limit reached for the key k1 (alice) on requests per minute: limit 2, used 2, requested 1. Try again in 40 s.',
    );
    expect(refused).toMatchObject({
      status: 429,
      headers: { 'retry-after': '40', 'x-millrace-limit': 'requests_per_minute' },
      body: { error: { code: 'rate_limit_exceeded', type: 'requests' } },
    });
    expect(headers).toMatchObject({
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1m0s',
    });
  });

  it('reserves prompt and answers, and puts the real use in their place', async () => {
    const caller = aCaller({ tokensPerMinute: 1_000 });
    const hold = await take(caller, use({ answers: 3, answerTokensMax: 300 }));
    const refused = await refusalOf(caller);
    expect(refused.message).toMatch('tokens per minute: limit 1000, used 910, requested 100. Try again in 60 s.');
    expect(refused.body.error.type).toBe('tokens');
    expect(refused.headers['retry-after']).toBe('60');
    hold.settle(40);
    hold.settle(0);
    await take(caller, use({ answerTokensMax: 950 }));
    expect(headers['x-ratelimit-remaining-tokens']).toBe('0');
  });

  it('reserves an estimate for an answer that does not say how long it may become, and none where there is none', async () => {
    const caller = aCaller({ tokensPerMinute: 1_000 });
    await take(caller, use({ answerTokensMax: undefined }));
    expect(headers['x-ratelimit-remaining-tokens']).toBe('790');
    await take(caller, use({ answerTokensMax: undefined, answers: 0 }));
    expect(headers['x-ratelimit-remaining-tokens']).toBe('780');
  });

  it('says of what is larger than a limit that trying again cannot help', async () => {
    const refused = await refusalOf(aCaller({ tokensPerMinute: 1_000 }), use({ answerTokensMax: 1_000_000_000 }));
    expect(refused.message).toBe(
      'Request too large for the key k1 (alice) on tokens per minute: limit 1000, requested 1000000010. Shorten the prompt, or ask for fewer tokens with `max_completion_tokens`.',
    );
    expect(refused).toMatchObject({
      status: 429,
      headers: { 'x-should-retry': 'false', 'x-millrace-limit': 'tokens_per_minute' },
    });
  });

  it('bears numbers beyond all measure', async () => {
    const caller = aCaller({ tokensPerMinute: 1_000 });
    await refusalOf(caller, use({ answerTokensMax: Number.MAX_VALUE }));
    const hold = await take(caller);
    hold.settle(Number.NaN);
    await take(caller, use({ answerTokensMax: 990 }));
  });

  it('counts a model’s limits over all callers, also over those without a key', async () => {
    models = { m: { requestsPerMinute: 3 } };
    await take(aCaller({}, 'k1'));
    await take(aCaller({}, 'k2'));
    await take(ANYONE);
    const refused = await refusalOf(aCaller({}, 'k3'));
    expect(refused.message).toMatch('for the model `m` of all callers together on requests per minute');
    await take(aCaller({}, 'k3'), use({ model: 'other' }));
  });

  it('counts each key by itself', async () => {
    await take(aCaller({ requestsPerMinute: 1 }, 'k1'));
    await take(aCaller({ requestsPerMinute: 1 }, 'k2'));
    expect((await refusalOf(aCaller({ requestsPerMinute: 1 }, 'k1'))).status).toBe(429);
  });

  it('follows limits that were changed', async () => {
    const caller = aCaller({ requestsPerMinute: 1 });
    await take(caller);
    await refusalOf(caller);
    models = { m: { requestsPerMinute: 2 } };
    await take(aCaller({ requestsPerMinute: 5 }));
    models = { m: { requestsPerMinute: 1 } };
    await refusalOf(aCaller({ requestsPerMinute: 5 }));
  });

  it('refuses more than may run at a time, and lets the next in when one has ended', async () => {
    const caller = aCaller({ concurrentRequests: 1 });
    const hold = await take(caller);
    const refused = await refusalOf(caller);
    expect(refused).toMatchObject({ headers: { 'retry-after': '1', 'x-millrace-limit': 'concurrency' } });
    expect(refused.message).toMatch('requests at a time: limit 1, used 1, requested 1. Try again in 1 s.');
    hold.settle(0);
    await take(caller);
  });

  describe('of a request that several models may answer', () => {
    const either = use({ fallbacks: ['n', 'o'] });
    /** Tokens and requests of the minute, and places, of one counter. */
    const countedOf = async (counter: string) => {
      const kinds = ['tokens_per_minute', 'concurrency', 'requests_per_minute'] as const;
      const rules = kinds.map((kind) => ({ counter, kind, limit: kind === 'requests_per_minute' ? 1e6 : 1e9 }));
      const decision = await limiter.take({ id: 'looks', rules, tokens: 2e9 });
      if (decision.outcome !== 'refused') throw new TypeError('Looking counts nothing.');
      return decision.standings.map(({ used }) => used);
    };
    const all: ModelLimits = { requestsPerMinute: 100, tokensPerMinute: 100_000, concurrentRequests: 100 };

    it('are the caller’s, and those of the first model that has room', async () => {
      models = { m: { requestsPerMinute: 1 }, n: { requestsPerMinute: 1 } };
      const caller = aCaller({ requestsPerMinute: 60, tokensPerMinute: 1_000, concurrentRequests: 9 });
      const holds = [await take(caller, either), await take(caller, either), await take(caller, either)];
      expect(holds.map(({ model }) => model)).toEqual(['m', 'n', 'o']);
      expect(await countedOf('key:k1')).toEqual([300, 3, 3]);
      for (const hold of holds) hold.settle(7);
      expect(await countedOf('key:k1')).toEqual([21, 0, 3]);
    });

    it('refuse by the model that has room soonest, where none has any', async () => {
      models = { m: { requestsPerMinute: 1 }, n: { requestsPerMinute: 1 }, o: { requestsPerMinute: 1 } };
      await take(aCaller({}), use({ model: 'n' }));
      clock.advance(10_000);
      for (const model of ['m', 'o']) await take(aCaller({}), use({ model }));
      const refused = await refusalOf(aCaller({ concurrentRequests: 5 }), either);
      expect(refused.message).toMatch(/^Rate limit reached for the model `n` of all callers together/);
      expect(refused.headers['retry-after']).toBe('50');
      // The caller's place is free again.
      expect((await countedOf('key:k1')).slice(0, 2)).toEqual([0, 0]);
    });

    it('refuse at once by the caller’s own, whatever room the models have', async () => {
      models = { m: { requestsPerMinute: 1 }, n: all };
      const caller = aCaller({ requestsPerMinute: 1 });
      await take(caller, either);
      expect((await refusalOf(caller, either)).message).toContain('the key k1 (alice)');
      expect(await countedOf('model:n')).toEqual([0, 0, 0]);
    });

    it('are those of the model that it turns to, and of the one before only that it was asked', async () => {
      models = { m: all, n: all };
      const hold = await take(aCaller(all), either);
      expect(await countedOf('model:m')).toEqual([100, 1, 1]);
      expect(await hold.turnTo('n')).toBeUndefined();
      expect(hold.model).toBe('n');
      expect(await countedOf('model:m')).toEqual([0, 0, 1]);
      expect(await countedOf('model:n')).toEqual([100, 1, 1]);
      hold.settle(30);
      hold.settle(30);
      for (const counter of ['model:n', 'key:k1']) expect(await countedOf(counter)).toEqual([30, 0, 1]);
    });

    it('stay as they are where it may not turn to the next', async () => {
      models = { m: all, n: { requestsPerMinute: 1 } };
      (await take(aCaller({}), use({ model: 'n' }))).settle(1);
      const hold = await take(aCaller({}), either);
      expect(await hold.turnTo('n')).toMatchObject({ code: 'rate_limit_exceeded' });
      expect(hold.model).toBe('m');
      expect(await hold.turnTo('o')).toBeUndefined();
      hold.settle(5);
      expect(await countedOf('model:m')).toEqual([0, 0, 1]);
    });

    it('leave nothing held where it ends while it turns', async () => {
      models = { m: all, n: all };
      const hold = await take(aCaller({}), either);
      const turned = hold.turnTo('n');
      hold.settle(9);
      expect(await turned).toBeUndefined();
      expect(await countedOf('model:m')).toEqual([9, 0, 1]);
      expect((await countedOf('model:n')).slice(0, 2)).toEqual([0, 0]);
    });

    it('leave nothing held where its client leaves while it is decided', async () => {
      models = { m: all };
      const leaving = new AbortController();
      const taken = take(aCaller(all), either, leaving.signal);
      leaving.abort(new Error('left'));
      await expect(taken).rejects.toThrow('left');
      for (const counter of ['model:m', 'key:k1']) expect((await countedOf(counter)).slice(0, 2)).toEqual([0, 0]);
    });
  });

  it('holds nothing for who left while it was decided', async () => {
    const caller = aCaller({ concurrentRequests: 1 });
    const client = new AbortController();
    const taking = take(caller, use(), client.signal);
    const left = new InferenceError('client_closed_request', 'left');
    client.abort(left);
    await expect(taking).rejects.toBe(left);
    await expect(take(caller, use(), client.signal)).rejects.toBe(left);
    await take(caller);
  });

  describe('budgets', () => {
    it('begin with what the records say, asked once', async () => {
      used = async () => ({ today: 950, thisMonth: 5_000 });
      const caller = aCaller({ tokensPerDay: 1_000, tokensPerMonth: 10_000 });
      const refused = await refusalOf(caller);
      expect(refused.message).toBe(
        'The budget of the key k1 (alice) on tokens per day is too small for this: limit 1000, used 950, requested 100. It begins anew at 00:00 UTC; wait for that, ask for fewer tokens with `max_completion_tokens`, or have the budget raised.',
      );
      expect(refused).toMatchObject({
        status: 429,
        headers: { 'retry-after': '43200', 'x-should-retry': 'false', 'x-millrace-limit': 'daily_budget' },
        body: { error: { code: 'insufficient_quota', type: 'insufficient_quota' } },
      });
      await take(caller, use({ answerTokensMax: 40 }));
      expect(looked).toEqual(['k1']);
    });

    it('are spent by what was really used, and come back at midnight', async () => {
      const caller = aCaller({ tokensPerDay: 1_000 });
      (await take(caller)).settle(1_000);
      const refused = await refusalOf(caller, use({ promptTokens: 1, answerTokensMax: 1 }));
      expect(refused.message).toMatch(
        'limit 1000, used 1000, requested 2. It begins anew at 00:00 UTC; wait for that or',
      );
      clock.advance(12 * 3_600_000);
      await take(caller);
    });

    it('are not those of the day before, where the records took until after midnight to be read', async () => {
      clock.advance(12 * 3_600_000 - 1_000);
      used = async () => {
        clock.advance(2_000);
        return { today: 1_000, thisMonth: 1_000 };
      };
      await take(aCaller({ tokensPerDay: 1_000 }));
    });

    it('of a month say the first of the next', async () => {
      used = async () => ({ today: 0, thisMonth: 1_000 });
      const refused = await refusalOf(aCaller({ tokensPerDay: 500, tokensPerMonth: 1_000 }));
      expect(refused.headers).toMatchObject({ 'x-millrace-limit': 'monthly_budget', 'retry-after': '820800' });
      expect(refused.message).toMatch('00:00 UTC of the first of the next month');
    });

    it('are looked up once for all who ask at the same time', async () => {
      const caller = aCaller({ tokensPerDay: 1_000 });
      await Promise.all(Array.from({ length: 10 }, () => take(caller)));
      expect(looked).toEqual(['k1']);
    });

    it('begin at 0 when the records cannot be read, and nobody waits for them again at once', async () => {
      used = async () => {
        throw new Error('away');
      };
      const caller = aCaller({ tokensPerDay: 1_000 });
      await take(caller);
      await take(caller);
      expect(looked).toEqual(['k1']);
    });

    it('do not wait for records that hang, and take them over when they come', async () => {
      const found = Promise.withResolvers<BudgetUse>();
      used = () => found.promise;
      const caller = aCaller({ tokensPerDay: 1_000_000 });
      const sinceMs = performance.now();
      await take(caller);
      expect(performance.now() - sinceMs).toBeLessThan(5_000);
      found.resolve({ today: 1_000_000, thisMonth: 1_000_000 });
      await expect
        .poll(() =>
          refusalOf(caller).then(
            ({ status }) => status,
            () => 0,
          ),
        )
        .toBe(429);
    });

    it('are looked up again after a while, so that what could not be counted is', async () => {
      const caller = aCaller({ tokensPerDay: 1_000_000 });
      await take(caller);
      used = async () => ({ today: 1_000_000, thisMonth: 1_000_000 });
      clock.advance(BUDGET_TRUST_MS);
      await take(caller);
      await expect
        .poll(() =>
          refusalOf(caller).then(
            ({ status }) => status,
            () => 0,
          ),
        )
        .toBe(429);
    });
  });
});
