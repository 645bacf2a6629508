import type { Call, ValidAnswerRequest } from '../vocabulary.js';

/**
 * Knows which questions were answered already, and finds one that means the same as a new one. The answers themselves lie in the exact
 * cache: what is found here is the key of one.
 *
 * It is asked only where the request, or its model, wants it: after the exact cache had no answer, and before the request is run.
 */
export interface SemanticLookup {
  /**
   * The key, in the exact cache, of an answer to a question of the same tenant that means the same; undefined: there is none, or it could
   * not be found out in time. Whoever asks must be ready for a key whose answer was forgotten meanwhile.
   *
   * It never rejects, but with the reason of `signal`: whatever else goes wrong is a miss and a metric.
   *
   * @param signal of the request: aborted when its client leaves or its time is up. How long the look itself may take is the
   *   implementation's affair.
   */
  find(request: ValidAnswerRequest, call: Call, signal: AbortSignal): Promise<string | undefined>;
  /**
   * The answer to `request` was kept under `key`. Returns at once and never throws: what comes of it is nobody's concern but the
   * implementation's, which bounds what it has in hand.
   */
  note(request: ValidAnswerRequest, call: Call, key: string): void;
  /** Ends what is still going on, within a bounded time. */
  close(): Promise<void>;
}

/** Where nothing is compared. */
export const NO_SEMANTIC_LOOKUP: SemanticLookup = {
  find: async () => undefined,
  note: () => {},
  close: async () => {},
};
