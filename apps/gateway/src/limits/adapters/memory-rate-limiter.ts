import type { Budget, BudgetKind } from '../budget.js';
import { decide, type LimitMeasure } from '../decide.js';
import {
  type Admitted,
  type BudgetUse,
  isBudget,
  type LimitKind,
  type LimitRule,
  type RateAsk,
  type RateDecision,
  RESERVATION_MS,
  type Refused,
  type StandIn,
} from '../rate-limiter.js';
import { BudgetTally, makeTally, type Reservation, type Tally } from '../tallies.js';

export interface MemoryLimits {
  /** Limits of callers that are remembered at a time. Beyond, those used longest ago are forgotten. */
  readonly talliesMax: number;
  /** Requests let through and not settled. Beyond, the oldest stay reserved. */
  readonly reservationsMax: number;
}

const LIMITS: MemoryLimits = { talliesMax: 200_000, reservationsMax: 100_000 };
/** The share that is forgotten when there is no room: many at once, since finding the oldest costs. */
const FORGOTTEN_SHARE = 0.01;
const UNUSED: LimitMeasure = { used: 0, waitMs: 0, resetMs: 0 };
const SWEEP_EVERY_MS = 1_000;
/** Looked at in one sweep, so that no request waits for a long one. */
const SWEPT_AT_ONCE_MAX = 1_000;

interface OpenReservation extends Reservation {
  /** Of each rule, what its tally wants back. */
  readonly marks: readonly number[];
  expiresMs: number;
}

/**
 * Counts in this process: the default, and what decides while Redis is away. Several gateways each count by themselves.
 *
 * Concurrency: nothing awaits between looking and counting, so a decision is one act.
 */
export class MemoryRateLimiter implements StandIn {
  readonly trouble = undefined;
  // Maps keep the order of insertion: whoever is used is put last, so the first are those to forget. Budgets live for a month, and
  // would stand in the way of those that live for a minute.
  readonly #brief = new Map<string, Tally>();
  readonly #budgets = new Map<string, BudgetTally>();
  readonly #reservations = new Map<string, OpenReservation>();
  readonly #keysOf = new WeakMap<readonly LimitRule[], readonly string[]>();
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly nowMs: () => number = Date.now,
    private readonly limits: MemoryLimits = LIMITS,
  ) {}

  async take(ask: RateAsk): Promise<RateDecision> {
    const nowMs = this.nowMs();
    this.#sweep(nowMs);
    if (!ask.fromZero && this.#knowsTooLittle(ask)) return { outcome: 'unseeded' };
    if (ask.begins !== undefined) this.#begin(ask.rules, ask.begins, nowMs);
    const tallies = this.#talliesOf(ask, nowMs);
    const measures = tallies.map((tally, index) => tally.measure(ask.rules[index]!.limit, ask, nowMs));
    const decision = decide(ask, measures, isOutdated(tallies, nowMs));
    if (decision.outcome === 'admitted') this.#count(ask, tallies, nowMs);
    return decision;
  }

  mirror(ask: RateAsk, { outcome, standings, outdated }: Admitted | Refused): void {
    const nowMs = this.nowMs();
    this.#sweep(nowMs);
    for (const { counter, kind, used } of standings) {
      if (isBudget(kind)) this.#budget(counter, kind, nowMs).learn(nowMs, used, outdated);
    }
    if (outcome === 'admitted') this.#count(ask, this.#talliesOf(ask, nowMs), nowMs);
  }

  budgetUse(rules: readonly LimitRule[]): readonly number[] {
    const nowMs = this.nowMs();
    return this.#keys(rules).map((key) => this.#budgets.get(key)?.budget.used(nowMs) ?? 0);
  }

  refusal(ask: RateAsk): Refused | undefined {
    const nowMs = this.nowMs();
    const measures = this.#keys(ask.rules).map(
      (key, index) => this.#brief.get(key)?.measure(ask.rules[index]!.limit, ask, nowMs) ?? UNUSED,
    );
    const decision = decide(ask, measures, false);
    return decision.outcome === 'refused' && !isBudget(decision.refusedBy.kind) ? decision : undefined;
  }

  async settle(ask: RateAsk, tokens: number): Promise<void> {
    const reservation = this.#reservations.get(ask.id);
    this.#reservations.delete(ask.id);
    this.#keys(ask.rules).forEach((key, index) => {
      const tally = this.#brief.get(key) ?? this.#budgets.get(key);
      tally?.settle(ask.id, reservation, reservation?.marks[index] ?? 0, tokens);
    });
  }

  async hold(asks: readonly RateAsk[]): Promise<void> {
    const nowMs = this.nowMs();
    for (const ask of asks) {
      const reservation = this.#reservations.get(ask.id);
      if (reservation !== undefined) reservation.expiresMs = nowMs + RESERVATION_MS;
      for (const tally of this.#talliesOf(ask, nowMs)) tally.hold(ask.id, nowMs);
    }
  }

  async seed(counter: string, { today, thisMonth, atMs }: BudgetUse): Promise<void> {
    const nowMs = this.nowMs();
    this.#budget(counter, 'daily_budget', nowMs).seed(nowMs, today, atMs);
    this.#budget(counter, 'monthly_budget', nowMs).seed(nowMs, thisMonth, atMs);
  }

  async close(): Promise<void> {
    this.#brief.clear();
    this.#budgets.clear();
    this.#reservations.clear();
  }

  /** How much is remembered: limits of callers, and requests that are not settled. */
  get size(): number {
    return this.#brief.size + this.#budgets.size + this.#reservations.size;
  }

  #knowsTooLittle({ rules }: RateAsk): boolean {
    return this.#keys(rules).some((key, index) => isBudget(rules[index]!.kind) && !this.#budgets.has(key));
  }

  #begin(rules: readonly LimitRule[], begins: readonly number[], nowMs: number): void {
    for (const [index, { counter, kind }] of rules.entries()) {
      if (!isBudget(kind) || this.#budgets.has(keyOf({ counter, kind }))) continue;
      this.#budget(counter, kind, nowMs).learn(nowMs, begins[index] ?? 0, true);
    }
  }

  #count(ask: RateAsk, tallies: readonly Tally[], nowMs: number): void {
    const marks = tallies.map((tally) => tally.count(ask, nowMs));
    const reservation = { atMs: nowMs, tokens: ask.tokens, marks, expiresMs: nowMs + RESERVATION_MS };
    this.#reservations.set(ask.id, reservation);
    forgetOldest(this.#reservations, this.limits.reservationsMax);
  }

  #budget(counter: string, kind: BudgetKind, nowMs: number): Budget {
    const tally = this.#tally(keyOf({ counter, kind }), kind, nowMs);
    if (tally instanceof BudgetTally) return tally.budget;
    throw new TypeError(`What is counted for ${kind} is a budget.`);
  }

  #talliesOf({ rules }: RateAsk, nowMs: number): readonly Tally[] {
    return this.#keys(rules).map((key, index) => this.#tally(key, rules[index]!.kind, nowMs));
  }

  #keys(rules: readonly LimitRule[]): readonly string[] {
    const known = this.#keysOf.get(rules);
    if (known !== undefined) return known;
    const keys = rules.map(keyOf);
    this.#keysOf.set(rules, keys);
    return keys;
  }

  #tally(key: string, kind: LimitKind, nowMs: number): Tally {
    const tallies: Map<string, Tally> = isBudget(kind) ? this.#budgets : this.#brief;
    const known = tallies.get(key);
    // Once a second is enough to know who was used longest ago.
    if (known !== undefined && nowMs - known.usedMs < SWEEP_EVERY_MS) return known;
    const tally = known ?? makeTally(kind, nowMs);
    tally.usedMs = nowMs;
    tallies.delete(key);
    tallies.set(key, tally);
    if (known === undefined) forgetOldest(tallies, this.limits.talliesMax);
    return tally;
  }

  #sweep(nowMs: number): void {
    if (Math.abs(nowMs - this.#sweptMs) < SWEEP_EVERY_MS) return;
    this.#sweptMs = nowMs;
    forgetIdle(this.#brief, (tally) => tally.idle(nowMs));
    forgetIdle(this.#budgets, (tally) => tally.idle(nowMs));
    forgetIdle(this.#reservations, ({ expiresMs }) => expiresMs <= nowMs);
  }
}

function keyOf({ kind, counter }: Pick<LimitRule, 'kind' | 'counter'>): string {
  return `${kind} ${counter}`;
}

function isOutdated(tallies: readonly Tally[], nowMs: number): boolean {
  return tallies.some((tally) => tally instanceof BudgetTally && tally.budget.outdated(nowMs));
}

/** Up to the first that still matters: those behind it were used later. */
function forgetIdle<Value>(remembered: Map<string, Value>, idle: (value: Value) => boolean): void {
  let looked = 0;
  for (const [key, value] of remembered) {
    if (++looked > SWEPT_AT_ONCE_MAX || !idle(value)) return;
    remembered.delete(key);
  }
}

function forgetOldest(remembered: Map<string, unknown>, max: number): void {
  if (remembered.size <= max) return;
  let left = Math.ceil(max * FORGOTTEN_SHARE);
  for (const key of remembered.keys()) {
    if (left-- === 0) return;
    remembered.delete(key);
  }
}
