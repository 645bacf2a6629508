import type { Call } from '../vocabulary.js';

/** What a request will cost, as far as can be told before it is answered. */
export interface ExpectedUse {
  /** The model's id. */
  readonly model: string;
  readonly promptTokens: number;
  readonly answers: number;
  /** Of each of its answers; undefined: the request does not say. */
  readonly answerTokensMax: number | undefined;
}

/** What a request has been let through with. Whoever holds it settles it, on every path. */
export interface RateHold {
  /** The tokens really used. Once; returns at once, whatever has to be told to whom is told off the request's path. */
  settle(tokens: number): void;
}

/** The caller's rate and budget: between validation and the waiting room. */
export interface CallerRates {
  /**
   * Lets a request through, or refuses it. Tells the call its `x-ratelimit-…` headers in both cases.
   *
   * @throws InferenceError `rate_limit_exceeded` or `insufficient_quota`, with the limit that refused.
   */
  take(call: Pick<Call, 'caller' | 'tell'>, use: ExpectedUse, signal: AbortSignal): Promise<RateHold>;
  /** What is wrong with it just now, as a sentence; undefined: nothing. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}

/** Where there is nothing to count. */
export const UNLIMITED: CallerRates = {
  take: async () => ({ settle: () => {} }),
  trouble: undefined,
  close: async () => {},
};
