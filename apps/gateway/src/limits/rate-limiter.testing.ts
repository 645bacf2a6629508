import type { LimitKind, LimitRule, RateAsk, RateDecision } from './rate-limiter.js';

/** A clock that a test puts forward. */
export class ShiftedClock {
  #shiftMs = 0;

  /** @param stands the time it shows until it is put forward; unsaid: that of the machine, which goes on. */
  constructor(private readonly stands?: number) {}

  get shiftMs(): number {
    return this.#shiftMs;
  }

  readonly nowMs = (): number => (this.stands ?? Date.now()) + this.#shiftMs;

  advance(ms: number): void {
    this.#shiftMs += ms;
  }

  /** To the next moment that is `ms` past a multiple of `everyMs`. */
  advanceTo(everyMs: number, ms = 0): void {
    const nowMs = this.nowMs();
    this.advance(Math.ceil((nowMs - ms) / everyMs) * everyMs + ms - nowMs);
  }
}

let asked = 0;

export function rule(kind: LimitKind, limit: number, counter = 'key:a'): LimitRule {
  return { counter, kind, limit };
}

export function ask(rules: readonly LimitRule[], tokens = 0, more: Partial<RateAsk> = {}): RateAsk {
  return { id: `ask-${++asked}`, rules, tokens, ...more };
}

/** What a test may look at without asking which it is; undefined where there is none. */
export function retryMs(decision: RateDecision): number | undefined {
  return decision.outcome === 'refused' ? decision.retryAfterMs : undefined;
}
