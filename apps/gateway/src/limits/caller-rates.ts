import type { InferenceError } from '@millrace/contracts';
import type { Call } from '../vocabulary.js';

/** What a request will cost, as far as can be told before it is answered. */
export interface ExpectedUse {
  /** The model's id. */
  readonly model: string;
  /** Ids of those that may answer in its place, in this order: where the model's own limit is reached, the next is taken. */
  readonly fallbacks?: readonly string[];
  readonly promptTokens: number;
  readonly answers: number;
  /** Of each of its answers; undefined: the request does not say. */
  readonly answerTokensMax: number | undefined;
}

/** What a request has been let through with. Whoever holds it settles it, on every path. */
export interface RateHold {
  /** The id of the model that it is counted for. */
  readonly model: string;
  /**
   * Counts it for another of its models from now on, in place of the one before, which then has answered nothing. Where the other's limit
   * is reached, it stays counted as it is. Not while another such call is under way.
   *
   * @returns why it may not; undefined: it may.
   */
  turnTo(model: string): Promise<InferenceError | undefined>;
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
  take: async (_call, { model }) => ({ model, turnTo: async () => undefined, settle: () => {} }),
  trouble: undefined,
  close: async () => {},
};
