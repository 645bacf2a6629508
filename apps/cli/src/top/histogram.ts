import type { MetricsText, Sample } from './metrics-text.js';

/** How many values were at most as large as each bound; the last bound is infinite. Of all series that were added up. */
export interface Histogram {
  readonly buckets: ReadonlyMap<number, number>;
  readonly sum: number;
  readonly count: number;
}

export const EMPTY: Histogram = { buckets: new Map(), sum: 0, count: 0 };

/** The series of a histogram that `wanted` lets through, added up. */
export function histogramIn(
  metrics: MetricsText,
  name: string,
  wanted: (labels: Sample['labels']) => boolean = () => true,
): Histogram {
  const samples = (suffix: string) => (metrics.get(`${name}_${suffix}`) ?? []).filter(({ labels }) => wanted(labels));
  const buckets = new Map<number, number>();
  for (const { labels, value } of samples('bucket')) {
    const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  const sumOf = (suffix: string) => samples(suffix).reduce((sum, { value }) => sum + value, 0);
  return { buckets, sum: sumOf('sum'), count: sumOf('count') };
}

/** What came in between. A process that started anew counts from 0: then all of it. */
export function histogramBetween(before: Histogram, after: Histogram): Histogram {
  if (after.count < before.count) return after;
  const buckets = [...after.buckets].map(
    ([bound, value]) => [bound, value - (before.buckets.get(bound) ?? 0)] as const,
  );
  return { buckets: new Map(buckets), sum: after.sum - before.sum, count: after.count - before.count };
}

/** Where a share of the values ends. */
export interface Quantile {
  readonly seconds: number;
  /** Below the first bound, or beyond the last: then no more than that is known, and `seconds` is the bound. */
  readonly is: 'below' | 'within' | 'beyond';
}

/**
 * As Prometheus' `histogram_quantile`, evenly spread within a bucket, but for the first: requests that did not wait at all would
 * else have waited for half of it. Undefined: there were no values.
 */
export function quantileOf({ buckets }: Histogram, share: number): Quantile | undefined {
  const bounds = [...buckets].toSorted(([one], [other]) => one - other);
  const rank = share * (bounds.at(-1)?.[1] ?? 0);
  const index = bounds.findIndex(([, upTo]) => upTo > 0 && upTo >= rank);
  if (index === -1) return undefined;
  const [bound, upTo] = bounds[index]!;
  const [lower, below] = bounds[index - 1] ?? [0, 0];
  if (bound === Number.POSITIVE_INFINITY) return { seconds: lower, is: 'beyond' };
  if (index === 0) return { seconds: bound, is: 'below' };
  return { seconds: lower + (bound - lower) * ((rank - below) / (upTo - below)), is: 'within' };
}

export function meanOf({ sum, count }: Histogram): number | undefined {
  return count > 0 ? sum / count : undefined;
}
