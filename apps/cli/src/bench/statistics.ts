import type { Sample } from './target.js';

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface Figures {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly tokensPerSecond: number;
  readonly firstTokenMs: Percentiles;
  readonly totalMs: Percentiles;
}

export interface Added {
  readonly firstTokenMs: Percentiles;
  readonly totalMs: Percentiles;
}

/**
 * Percentiles of the differences between twins: the same request through the gateway and on the worker alone, at about
 * the same time. Not differences of percentiles: short and long answers are far apart, and a percentile between them
 * jumps by more than what is looked for.
 */
export function addedBy(gateway: readonly Sample[], worker: readonly Sample[]): Added {
  return {
    firstTokenMs: percentilesOf(gateway.map((sample, index) => sample.firstTokenMs - worker[index]!.firstTokenMs)),
    totalMs: percentilesOf(gateway.map((sample, index) => sample.totalMs - worker[index]!.totalMs)),
  };
}

export function figuresOf(samples: readonly Sample[], busyMs: number): Figures {
  const tokens = samples.reduce((sum, sample) => sum + sample.tokens, 0);
  return {
    requests: samples.length,
    requestsPerSecond: samples.length / (busyMs / 1000),
    tokensPerSecond: tokens / (busyMs / 1000),
    firstTokenMs: percentilesOf(samples.map(({ firstTokenMs }) => firstTokenMs)),
    totalMs: percentilesOf(samples.map(({ totalMs }) => totalMs)),
  };
}

export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  return { p50: percentile(sorted, 50), p95: percentile(sorted, 95), p99: percentile(sorted, 99) };
}

export function medianOf(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    50,
  );
}

/** Nearest rank: always a value that was measured, never one between two. */
export function percentile(sorted: readonly number[], percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}
