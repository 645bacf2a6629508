import type { Redis } from 'ioredis';
import { decide, type LimitMeasure } from '../decide.js';
import type { BudgetUse, LimitKind, LimitRule, RateAsk, RateDecision, SharedRateLimiter } from '../rate-limiter.js';
import { HOLD, LETTERS, SEED, SETTLE, TAKE } from '../redis-scripts.js';

/** Redis' own: what its scripts make of `defineCommand`. The number of keys comes first, then keys, then arguments. */
interface Scripts {
  millraceTake(keys: number, ...args: readonly (string | number)[]): Promise<readonly number[]>;
  millraceSettle(keys: number, ...args: readonly (string | number)[]): Promise<number>;
  millraceHold(keys: number, ...args: readonly (string | number)[]): Promise<number>;
  millraceSeed(keys: number, ...args: readonly (string | number)[]): Promise<number>;
}

/** Of a list of rules, what every command about it says again. */
interface Spelt {
  readonly keys: readonly string[];
  readonly kinds: readonly string[];
  readonly kindsAndLimits: readonly (string | number)[];
  readonly places: readonly string[];
}

/** Counts for all gateways that share a Redis: each call is one script, all of whose keys lie in one slot of a cluster. */
export class RedisRateLimiter implements SharedRateLimiter {
  readonly trouble = undefined;
  readonly #scripts: Scripts;
  readonly #spelt = new WeakMap<readonly LimitRule[], Spelt>();
  readonly #prefix: string;

  /**
   * @param redis whoever opened it closes it; its command time-out is that of every call here.
   * @param keyPrefix what all keys begin with.
   * @param shiftMs added to Redis' clock: for tests, 0 elsewhere.
   */
  constructor(
    redis: Redis,
    keyPrefix: string,
    private readonly shiftMs: () => number = () => 0,
  ) {
    redis.defineCommand('millraceTake', { lua: TAKE });
    redis.defineCommand('millraceSettle', { lua: SETTLE });
    redis.defineCommand('millraceHold', { lua: HOLD });
    redis.defineCommand('millraceSeed', { lua: SEED });
    this.#scripts = redis as unknown as Scripts;
    // In braces: what a cluster chooses the slot by.
    this.#prefix = `{${keyPrefix}}:limits`;
  }

  async take(ask: RateAsk): Promise<RateDecision> {
    const { keys, kindsAndLimits } = this.#spell(ask.rules);
    const fromZero = ask.fromZero === true ? 1 : 0;
    const [known, outdated, ...numbers] = await this.#scripts.millraceTake(
      keys.length + 1,
      this.#reservation(ask),
      ...keys,
      this.shiftMs(),
      ask.id,
      ask.tokens,
      fromZero,
      ...kindsAndLimits,
      ...(ask.begins ?? []),
    );
    if (known === 0) return { outcome: 'unseeded' };
    return decide(ask, measuresOf(ask.rules, numbers), outdated === 1);
  }

  async settle(ask: RateAsk, tokens: number): Promise<void> {
    const { keys, kinds } = this.#spell(ask.rules);
    const reservation = this.#reservation(ask);
    await this.#scripts.millraceSettle(keys.length + 1, reservation, ...keys, this.shiftMs(), ask.id, tokens, ...kinds);
  }

  async hold(asks: readonly RateAsk[]): Promise<void> {
    const keys: string[] = [];
    const args: (string | number)[] = [this.shiftMs()];
    for (const ask of asks) {
      const { places } = this.#spell(ask.rules);
      keys.push(this.#reservation(ask), ...places);
      args.push(ask.id, places.length);
    }
    if (keys.length > 0) await this.#scripts.millraceHold(keys.length, ...keys, ...args);
  }

  async seed(counter: string, { today, thisMonth, atMs }: BudgetUse): Promise<void> {
    const keys = [this.#key('daily_budget', counter), this.#key('monthly_budget', counter)];
    await this.#scripts.millraceSeed(2, ...keys, this.shiftMs(), atMs ?? '', today, thisMonth);
  }

  /** Asks for nothing, as any request would: a Redis that answers pings and refuses to write is of no use. */
  async probe(): Promise<void> {
    await this.take({ id: 'probe', rules: [], tokens: 0 });
  }

  async close(): Promise<void> {}

  #reservation({ id }: RateAsk): string {
    return `${this.#prefix}:open:${id}`;
  }

  #key(kind: LimitKind, counter: string): string {
    return `${this.#prefix}:${LETTERS[kind]}:${counter}`;
  }

  #spell(rules: readonly LimitRule[]): Spelt {
    const known = this.#spelt.get(rules);
    if (known !== undefined) return known;
    const spelt = {
      keys: rules.map(({ kind, counter }) => this.#key(kind, counter)),
      kinds: rules.map(({ kind }) => LETTERS[kind]),
      kindsAndLimits: rules.flatMap(({ kind, limit }) => [LETTERS[kind], limit]),
      places: rules.filter(({ kind }) => kind === 'concurrency').map(({ kind, counter }) => this.#key(kind, counter)),
    };
    this.#spelt.set(rules, spelt);
    return spelt;
  }
}

function measuresOf(rules: readonly LimitRule[], numbers: readonly number[]): readonly LimitMeasure[] {
  return rules.map((_, index) => ({
    used: numbers[3 * index]!,
    waitMs: numbers[3 * index + 1]!,
    resetMs: numbers[3 * index + 2]!,
  }));
}
