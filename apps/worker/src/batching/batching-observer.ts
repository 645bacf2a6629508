import type { Outcome } from './sequence.js';

/** What the scheduler decided about a sequence, or saw of the engine; a metric's label. */
export type Decision = 'joined' | 'paused' | 'resumed' | 'refused' | 'broke';

/** Told what happens, for metrics; called often, so it must be quick and must not throw. */
export interface BatchingObserver {
  decided(decision: Decision): void;
  /** @param tokens all that were read; @param chosen those that were generated. */
  stepped(durationMs: number, sequences: number, tokens: number, chosen: number): void;
  settled(outcome: Outcome, promptTokensRead: number): void;
}

export const NOBODY_OBSERVES: BatchingObserver = {
  decided: () => undefined,
  stepped: () => undefined,
  settled: () => undefined,
};
