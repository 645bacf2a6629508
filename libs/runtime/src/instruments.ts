import { type Attributes, type Counter, type Histogram, metrics, type ObservableGauge } from '@opentelemetry/api';
import type { MetricDeclaration } from './metrics.js';

/** Instruments of OpenTelemetry's API, each from its declaration. Call after `startMetrics`, or they measure nothing. */
const METER = 'millrace';

export function counter(declaration: MetricDeclaration & { kind: 'counter' }): Counter {
  return metrics.getMeter(METER).createCounter(declaration.name, described(declaration));
}

export function histogram(declaration: MetricDeclaration & { kind: 'histogram' }): Histogram {
  return metrics.getMeter(METER).createHistogram(declaration.name, {
    ...described(declaration),
    advice: { explicitBucketBoundaries: [...(declaration.buckets ?? [])] },
  });
}

/**
 * Has a histogram be told of before anything is measured. Prometheus takes a series from its first look at it, and `rate` sees nothing of
 * what was in it by then: the first request would be in no dashboard. The SDK counts NaN into no bucket and no sum (3.1).
 */
export function beginAtZero(measured: Histogram, labels: Attributes): void {
  measured.record(Number.NaN, labels);
}

/** A gauge that is looked up when somebody asks. Returns what stops it. */
export function gauge(
  declaration: MetricDeclaration & { kind: 'gauge' },
  look: () => readonly { readonly value: number; readonly labels?: Attributes }[],
): () => void {
  const instrument: ObservableGauge = metrics
    .getMeter(METER)
    .createObservableGauge(declaration.name, described(declaration));
  const observe = (result: { observe(value: number, labels?: Attributes): void }) => {
    for (const { value, labels } of look()) result.observe(value, labels);
  };
  instrument.addCallback(observe);
  return () => instrument.removeCallback(observe);
}

/**
 * Keeps a label to few values: those that came first keep their names, and whatever comes later is `other`. Ids of models come from workers
 * and files, which may rename theirs for ever.
 */
export class BoundedLabel {
  readonly #known = new Set<string>();

  constructor(private readonly valuesMax: number) {}

  of(value: string): string {
    if (this.#known.size < this.valuesMax) this.#known.add(value);
    return this.#known.has(value) ? value : 'other';
  }
}

/**
 * The values of a gauge that has a series for each model. Models that share a label are added up, since of two values for one series the
 * last would be told; and what was told once is told as 0 when there is none, since the SDK (3.1) repeats what it is not told anew.
 */
export class SumsByModel {
  readonly #told = new Set<string>();

  constructor(private readonly labels: BoundedLabel) {}

  /** @param counts by model; the same may come several times. */
  of(counts: Iterable<readonly [model: string, count: number]>): { value: number; labels: Attributes }[] {
    const sums = new Map<string, number>();
    for (const label of this.#told) sums.set(label, 0);
    for (const [model, count] of counts) {
      const label = this.labels.of(model);
      this.#told.add(label);
      sums.set(label, (sums.get(label) ?? 0) + count);
    }
    return [...sums].map(([model, value]) => ({ value, labels: { model } }));
  }
}

function described({ help, unit }: MetricDeclaration): { description: string; unit: string } {
  return { description: help, unit };
}
