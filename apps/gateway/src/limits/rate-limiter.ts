/** What is counted together: all requests of a key, or of a model, or of a key for a model. */
export interface CountedLimits {
  /** Unique among all that is counted: `key:abc`, `model:llama`. */
  readonly counter: string;
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  readonly concurrentRequests?: number | undefined;
  readonly tokensPerDay?: number | undefined;
  readonly tokensPerMonth?: number | undefined;
}

export type LimitKind = 'requests_per_minute' | 'tokens_per_minute' | 'concurrency' | 'daily_budget' | 'monthly_budget';

export interface RateAsk {
  /** Unique: what `settle` names it by. */
  readonly id: string;
  /** The request is let through only if all of these have room; then it counts in all of them. */
  readonly limits: readonly CountedLimits[];
  /** What it will cost, as far as can be told beforehand. At least 0. */
  readonly tokens: number;
}

/** How one limit stands after a decision. */
export interface LimitStanding {
  readonly counter: string;
  readonly kind: LimitKind;
  readonly limit: number;
  /** At least 0. */
  readonly remaining: number;
  /** Until it is as if nothing had been used. 0: it is. For concurrency: 0. */
  readonly resetMs: number;
}

export type RateDecision =
  | { readonly admitted: true; readonly standings: readonly LimitStanding[] }
  | {
      readonly admitted: false;
      readonly standings: readonly LimitStanding[];
      readonly refusedBy: LimitStanding;
      /** Until the same ask may pass, if nobody else asks meanwhile; undefined: never, for it is larger than the limit. */
      readonly retryAfterMs: number | undefined;
    };

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
  /** The places of these are held for longer; unless it is said again, one is given back after `CONCURRENCY_LEASE_MS`. */
  hold(asks: readonly RateAsk[]): Promise<void>;
  /** Puts what a budget has used so far, where nothing is known of it any more; else changes nothing. */
  seed(counter: string, usedToday: number, usedThisMonth: number): Promise<void>;
  close(): Promise<void>;
}

/** A gateway that dies gives no places back: they come free after so long. */
export const CONCURRENCY_LEASE_MS = 30_000;
