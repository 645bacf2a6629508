export type LimitKind = 'requests_per_minute' | 'tokens_per_minute' | 'concurrency' | 'daily_budget' | 'monthly_budget';

/** One limit of one counter. */
export interface LimitRule {
  /** Whose use is counted together; unique among all that is counted: `key:abc`, `model:llama`. */
  readonly counter: string;
  readonly kind: LimitKind;
  /** At least 1. */
  readonly limit: number;
}

export interface RateAsk {
  /** Unique: what `settle` names it by. */
  readonly id: string;
  /**
   * The request is let through only if all of these have room; then it counts in all of them. Of each counter and kind one at most. An
   * adapter may remember what it made of the list itself, so lists that are used again make no new work.
   */
  readonly rules: readonly LimitRule[];
  /** What it will cost, as far as can be told beforehand. At least 0. */
  readonly tokens: number;
  /** Budgets of which nothing is known begin at 0, rather than that the decision is `unseeded`. */
  readonly fromZero?: boolean;
  /** Of each rule, where such a budget begins instead, since somebody knows it to have been used so much. */
  readonly begins?: readonly number[];
}

/** How one limit stands after a decision. */
export interface LimitStanding extends LimitRule {
  /** What the counter had before the ask; above the limit if answers became longer than was expected. */
  readonly used: number;
  /** At least 0. */
  readonly remaining: number;
  /** Until it is as if nothing had been used. 0: it is. For concurrency: 0. */
  readonly resetMs: number;
}

export interface Admitted {
  readonly outcome: 'admitted';
  readonly standings: readonly LimitStanding[];
  /** What its budgets know is old: someone should look at what was really used, and `seed` it. */
  readonly outdated: boolean;
}

export interface Refused {
  readonly outcome: 'refused';
  readonly standings: readonly LimitStanding[];
  readonly outdated: boolean;
  readonly refusedBy: LimitStanding;
  /** Until the same ask may pass, if nobody else asks meanwhile; undefined: never, for it is larger than the limit. */
  readonly retryAfterMs: number | undefined;
}

/** Nothing was counted, since nothing is known of one of its budgets: `seed` it and ask again. */
export interface Unseeded {
  readonly outcome: 'unseeded';
}

export type RateDecision = Admitted | Refused | Unseeded;

/**
 * Counts what is used, and decides. A minute is any 60 seconds: never more than the limit within them, wherever they begin. What
 * becomes free may become so up to a second late, since use is remembered by the second. Days and months are those of UTC.
 *
 * Every decision is one atomic act, so that those of several gateways never count twice or miss each other.
 */
export interface RateLimiter {
  /** @throws what its store throws, or a time-out: whoever asks then decides without it. */
  take(ask: RateAsk): Promise<RateDecision>;
  /**
   * Ends what `take` admitted: gives its place among the concurrent back and puts the tokens really used, `tokens`, in place of those
   * reserved, at the time of the reservation. Twice, or for an id that is not known, it changes nothing.
   */
  settle(ask: RateAsk, tokens: number): Promise<void>;
  /**
   * The places of these are held for longer; unless it is said again, one is given back after `CONCURRENCY_LEASE_MS`. A place that
   * the store has lost is taken anew.
   */
  hold(asks: readonly RateAsk[]): Promise<void>;
  /**
   * Replaces what the budget of a counter knows. What was reserved before counts again when it is settled, with the tokens that it
   * really used.
   */
  seed(counter: string, used: BudgetUse): Promise<void>;
  /** What is wrong with it just now, as a sentence; undefined: nothing. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}

/** Tokens of a counter since 00:00 UTC, and since the first of the month. */
export interface BudgetUse {
  readonly today: number;
  readonly thisMonth: number;
  /** When that was so; unsaid: now. Of a day or a month that has ended since, nothing is taken over. */
  readonly atMs?: number;
}

export const MINUTE_MS = 60_000;

/** A gateway that dies gives no places back: they come free after so long. */
export const CONCURRENCY_LEASE_MS = 30_000;

/** What was reserved can be settled for so long, unless it is held for longer; afterwards it stays reserved. */
export const RESERVATION_MS = 300_000;

/** A budget's knowledge is old after so long: what could not be counted (a lost settlement, a dead gateway) is mended then. */
export const BUDGET_TRUST_MS = 300_000;

/** Counts for several gateways, over a network. */
export interface SharedRateLimiter extends RateLimiter {
  /** Resolves if it could decide just now. */
  probe(): Promise<void>;
}

/** Counts for this gateway alone, and takes over when the shared one is away. */
export interface StandIn extends RateLimiter {
  /**
   * Takes over what another one knows of the budgets that it decided by, and counts what it let through, so that this one can go on from
   * there.
   */
  mirror(ask: RateAsk, decision: Admitted | Refused): void;
  /** Of each rule, what is known to have been used of its budget; 0 of others, and where nothing is known. */
  budgetUse(rules: readonly LimitRule[]): readonly number[];
  /**
   * The refusal of an ask for which what was counted here alone leaves no room, so that nobody else need be asked; else undefined. Budgets
   * are left out: others may know better.
   */
  refusal(ask: RateAsk): Refused | undefined;
}

export function isBudget(kind: LimitKind): kind is 'daily_budget' | 'monthly_budget' {
  return kind === 'daily_budget' || kind === 'monthly_budget';
}

/** What a request costs of a limit. */
export function costOf(kind: LimitKind, tokens: number): number {
  return kind === 'requests_per_minute' || kind === 'concurrency' ? 1 : tokens;
}
