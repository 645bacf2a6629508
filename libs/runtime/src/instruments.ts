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

function described({ help, unit }: MetricDeclaration): { description: string; unit: string } {
  return { description: help, unit };
}
