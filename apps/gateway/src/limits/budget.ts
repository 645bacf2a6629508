import { BUDGET_TRUST_MS } from './rate-limiter.js';
import { dayOf, monthOf, untilNextDayMs, untilNextMonthMs } from './utc-calendar.js';

export type BudgetKind = 'daily_budget' | 'monthly_budget';

const PERIODS = {
  daily_budget: { of: dayOf, untilNextMs: untilNextDayMs },
  monthly_budget: { of: monthOf, untilNextMs: untilNextMonthMs },
} as const satisfies Record<BudgetKind, unknown>;

/** What was used in this day or month, and how far that can be trusted. */
export class Budget {
  readonly #kind: BudgetKind;
  #period: number;
  #used = 0;
  #seededMs = Number.NEGATIVE_INFINITY;
  #generation: number;

  constructor(kind: BudgetKind, nowMs: number) {
    this.#kind = kind;
    this.#period = PERIODS[kind].of(nowMs);
    this.#generation = nowMs;
  }

  /** Changes whenever what was known is replaced: what was reserved before that is not part of it. */
  get generation(): number {
    return this.#generation;
  }

  /** @param atMs when so much was used: of another period nothing is taken over. */
  seed(nowMs: number, used: number, atMs = nowMs): void {
    const period = PERIODS[this.#kind].of(nowMs);
    if (PERIODS[this.#kind].of(atMs) !== period) return;
    this.#period = period;
    this.#used = used;
    this.#seededMs = nowMs;
    this.#generation = Math.max(nowMs, this.#generation + 1);
  }

  /** Takes over what another counter of the same use knows, with all that is reserved in it, and whether that is old. */
  learn(nowMs: number, used: number, outdated: boolean): void {
    this.#period = PERIODS[this.#kind].of(nowMs);
    this.#used = used;
    this.#seededMs = outdated ? Number.NEGATIVE_INFINITY : nowMs;
  }

  outdated(nowMs: number): boolean {
    return nowMs - this.#seededMs >= BUDGET_TRUST_MS;
  }

  /** Its period is not now's: nothing in it matters any more. */
  over(nowMs: number): boolean {
    return PERIODS[this.#kind].of(nowMs) !== this.#period;
  }

  used(nowMs: number): number {
    return this.over(nowMs) ? 0 : this.#used;
  }

  resetMs(nowMs: number): number {
    return PERIODS[this.#kind].untilNextMs(nowMs);
  }

  add(nowMs: number, tokens: number): void {
    if (this.over(nowMs)) {
      this.#period = PERIODS[this.#kind].of(nowMs);
      this.#used = 0;
    }
    this.#used += tokens;
  }

  /** Puts what was really used in place of what was reserved at `atMs`, if that was in the period that is counted now. */
  settle(atMs: number, generation: number, reserved: number, used: number): void {
    if (PERIODS[this.#kind].of(atMs) !== this.#period) return;
    const counted = generation === this.#generation ? reserved : 0;
    this.#used = Math.max(0, this.#used + used - counted);
  }
}
