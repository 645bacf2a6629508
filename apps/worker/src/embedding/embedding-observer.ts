/**
 * What became of an input; a metric's label.
 *
 * `computed`: into a vector or a score. `dropped`: nobody waited for it any more, its request's time was up, or another
 * input of its request failed. `refused`: too many requests waited. `failed`: the engine broke on it.
 */
export type InputOutcome = 'computed' | 'dropped' | 'refused' | 'failed';

/** Told what happens, for metrics; must be quick and must not throw. */
export interface EmbeddingObserver {
  /** @param durationMs of computing, without the wait. @param tokens that were read. */
  computed(durationMs: number, tokens: number): void;
  settled(outcome: InputOutcome, inputs: number): void;
}

export const NOBODY_OBSERVES_EMBEDDING: EmbeddingObserver = {
  computed: () => undefined,
  settled: () => undefined,
};
