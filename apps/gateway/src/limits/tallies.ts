import { Budget, type BudgetKind } from './budget.js';
import type { LimitMeasure } from './decide.js';
import { MinuteWindow } from './minute-window.js';
import { CONCURRENCY_LEASE_MS, costOf, type LimitKind, type RateAsk } from './rate-limiter.js';

/** What was let through and is not settled. */
export interface Reservation {
  readonly atMs: number;
  readonly tokens: number;
}

/** What is remembered of one limit of one counter. */
export interface Tally {
  /** On the clock of whoever keeps it. */
  usedMs: number;
  measure(limit: number, ask: RateAsk, nowMs: number): LimitMeasure;
  /** Returns what `settle` wants back. */
  count(ask: RateAsk, nowMs: number): number;
  /** @param mark as `count` returned it. */
  settle(id: string, reservation: Reservation | undefined, mark: number, tokens: number): void;
  hold(id: string, nowMs: number): void;
  /** Nothing in it matters any more. */
  idle(nowMs: number): boolean;
}

export function makeTally(kind: LimitKind, nowMs: number): Tally {
  switch (kind) {
    case 'requests_per_minute':
    case 'tokens_per_minute':
      return new MinuteTally(kind, nowMs);
    case 'concurrency':
      return new PlaceTally(nowMs);
    default:
      return new BudgetTally(kind, nowMs);
  }
}

class MinuteTally implements Tally {
  readonly #window = new MinuteWindow();

  constructor(
    private readonly kind: LimitKind,
    public usedMs: number,
  ) {}

  measure(limit: number, { tokens }: RateAsk, nowMs: number): LimitMeasure {
    const used = this.#window.used(nowMs);
    const waitMs = this.#window.waitMs(nowMs, limit - costOf(this.kind, tokens));
    return { used, waitMs, resetMs: this.#window.resetMs(nowMs) };
  }

  count({ tokens }: RateAsk, nowMs: number): number {
    this.#window.add(nowMs, costOf(this.kind, tokens));
    return 0;
  }

  settle(_id: string, reservation: Reservation | undefined, _mark: number, tokens: number): void {
    if (reservation === undefined || this.kind === 'requests_per_minute') return;
    this.#window.correct(reservation.atMs, tokens - reservation.tokens);
  }

  hold(): void {}

  idle(nowMs: number): boolean {
    return this.#window.used(nowMs) === 0;
  }
}

/** Places among those that run at a time: each comes back by itself unless it is held for longer. */
class PlaceTally implements Tally {
  /** When each comes back, by id; the soonest first. */
  readonly #expiriesMs = new Map<string, number>();

  constructor(public usedMs: number) {}

  measure(_limit: number, _ask: RateAsk, nowMs: number): LimitMeasure {
    this.#forget(nowMs);
    return { used: this.#expiriesMs.size, waitMs: 0, resetMs: 0 };
  }

  count({ id }: RateAsk, nowMs: number): number {
    this.hold(id, nowMs);
    return 0;
  }

  settle(id: string): void {
    this.#expiriesMs.delete(id);
  }

  hold(id: string, nowMs: number): void {
    this.#expiriesMs.delete(id);
    this.#expiriesMs.set(id, nowMs + CONCURRENCY_LEASE_MS);
  }

  idle(nowMs: number): boolean {
    this.#forget(nowMs);
    return this.#expiriesMs.size === 0;
  }

  #forget(nowMs: number): void {
    for (const [id, expiresMs] of this.#expiriesMs) {
      if (expiresMs > nowMs) return;
      this.#expiriesMs.delete(id);
    }
  }
}

export class BudgetTally implements Tally {
  readonly budget: Budget;

  constructor(
    kind: BudgetKind,
    public usedMs: number,
  ) {
    this.budget = new Budget(kind, usedMs);
  }

  measure(limit: number, { tokens }: RateAsk, nowMs: number): LimitMeasure {
    const used = this.budget.used(nowMs);
    const resetMs = this.budget.resetMs(nowMs);
    return { used, waitMs: used + tokens <= limit ? 0 : resetMs, resetMs };
  }

  count({ tokens }: RateAsk, nowMs: number): number {
    this.budget.add(nowMs, tokens);
    return this.budget.generation;
  }

  settle(_id: string, reservation: Reservation | undefined, mark: number, tokens: number): void {
    if (reservation !== undefined) this.budget.settle(reservation.atMs, mark, reservation.tokens, tokens);
  }

  hold(): void {}

  idle(nowMs: number): boolean {
    return this.budget.over(nowMs);
  }
}
