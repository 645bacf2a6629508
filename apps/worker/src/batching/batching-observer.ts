import type { Outcome } from './sequence.js';

/**
 * What the scheduler decided about a sequence, or saw of the engine; a metric's label.
 *
 * `joined`: took a place. `reused`, `copied`: and found a part of its prompt read there, or copied it from another.
 * `held_back`: waits until another has read what they share. `aged`: joined before one of higher priority, having waited
 * longer. `dropped`: settled while it waited. `company`: an idle worker waited for more before its step. `paused`,
 * `resumed`: its reader stood still, or reads again. `refused`: no room to wait. `broke`: the engine failed in a step.
 */
export type Decision =
  | 'joined'
  | 'reused'
  | 'copied'
  | 'held_back'
  | 'aged'
  | 'dropped'
  | 'company'
  | 'paused'
  | 'resumed'
  | 'refused'
  | 'broke';

/** Told what happens, for metrics; called often, so it must be quick and must not throw. */
export interface BatchingObserver {
  decided(decision: Decision): void;
  /** @param tokens all that were read; @param chosen those that were generated. */
  stepped(durationMs: number, sequences: number, tokens: number, chosen: number): void;
  /** @param promptTokensRead without those that were found in a place. @param cachedTokens those. */
  settled(outcome: Outcome, promptTokensRead: number, cachedTokens: number): void;
}

export const NOBODY_OBSERVES: BatchingObserver = {
  decided: () => undefined,
  stepped: () => undefined,
  settled: () => undefined,
};
