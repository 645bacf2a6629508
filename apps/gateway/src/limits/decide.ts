import {
  type Admitted,
  costOf,
  isBudget,
  type LimitKind,
  type LimitRule,
  type LimitStanding,
  MINUTE_MS,
  type RateAsk,
  type Refused,
} from './rate-limiter.js';

/** How a limit stands before a decision, as a store measured it. */
export interface LimitMeasure {
  readonly used: number;
  /** Until it has room for what is asked; 0: it has. Of no meaning where that is larger than the limit, or for concurrency. */
  readonly waitMs: number;
  /** Until nothing is used any more, if anything is. Of no meaning for concurrency. */
  readonly resetMs: number;
}

/** Nobody knows when one of those that run will end, so whoever wants its place looks again soon. */
const PLACE_RETRY_MS = 1_000;

/** A budget comes back last, whatever its clock says; so it is what a caller has to hear of. */
const WEIGHT: Readonly<Record<LimitKind, number>> = {
  monthly_budget: 2,
  daily_budget: 1,
  requests_per_minute: 0,
  tokens_per_minute: 0,
  concurrency: 0,
};

/** Whether all limits have room for what is asked. */
export function hasRoom(rule: LimitRule, used: number, tokens: number): boolean {
  return used + costOf(rule.kind, tokens) <= rule.limit;
}

/**
 * What becomes of an ask, from the measures of its rules in their order: admitted if all have room; else refused by the one that
 * takes longest to have it, budgets before minutes.
 */
export function decide(ask: RateAsk, measures: readonly LimitMeasure[], outdated: boolean): Admitted | Refused {
  const refusing = ask.rules.map((rule, index) => !hasRoom(rule, measures[index]!.used, ask.tokens));
  const admitted = !refusing.includes(true);
  const standings = ask.rules.map((rule, index) =>
    standingOf(rule, measures[index]!, admitted ? ask.tokens : undefined),
  );
  if (admitted) return { outcome: 'admitted', standings, outdated };

  const refusals = standings
    .map((standing, index) => ({ standing, waitMs: waitOf(standing, measures[index]!, ask.tokens) }))
    .filter((_, index) => refusing[index]);
  const { standing: refusedBy, waitMs } = refusals.reduce((worst, one) => (outweighs(one, worst) ? one : worst));
  const retryAfterMs = Number.isFinite(waitMs) ? waitMs : undefined;
  return { outcome: 'refused', standings, outdated, refusedBy, retryAfterMs };
}

/** @param tokens of the ask that was just counted; undefined: none was. */
function standingOf(rule: LimitRule, { used, resetMs }: LimitMeasure, tokens: number | undefined): LimitStanding {
  const { counter, kind, limit } = rule;
  const cost = tokens === undefined ? 0 : costOf(kind, tokens);
  const remaining = Math.max(0, limit - used - cost);
  return { counter, kind, limit, used, remaining, resetMs: resetOf(kind, used, cost, resetMs) };
}

/** What was counted just now is the last to leave its minute. */
function resetOf(kind: LimitKind, used: number, cost: number, resetMs: number): number {
  if (kind === 'concurrency' || used + cost === 0) return 0;
  return cost > 0 && !isBudget(kind) ? MINUTE_MS : resetMs;
}

function waitOf({ kind, limit }: LimitRule, { waitMs }: LimitMeasure, tokens: number): number {
  if (kind === 'concurrency') return PLACE_RETRY_MS;
  return costOf(kind, tokens) > limit ? Number.POSITIVE_INFINITY : waitMs;
}

interface Refusal {
  readonly standing: LimitStanding;
  readonly waitMs: number;
}

function outweighs(one: Refusal, other: Refusal): boolean {
  const weight = WEIGHT[one.standing.kind] - WEIGHT[other.standing.kind];
  return weight > 0 || (weight === 0 && one.waitMs > other.waitMs);
}
