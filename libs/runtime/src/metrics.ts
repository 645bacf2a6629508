import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Attributes, metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { type IMetricReader, MeterProvider } from '@opentelemetry/sdk-metrics';

export interface MetricsOptions {
  /** `service.name` of everything measured here: `millrace-gateway`, `millrace-worker`. */
  readonly serviceName: string;
  readonly serviceVersion: string;
  /** Of a worker; a label of everything that it measures. */
  readonly pool?: string | undefined;
}

export interface Metrics {
  /** Answers a scrape in Prometheus' text format. */
  readonly answerScrape: (request: IncomingMessage, response: ServerResponse) => void;
  close(): Promise<void>;
}

/**
 * Of one metric, between two scrapes; further ones are counted together as `otel_metric_overflow`. The last resort: it forgets what it
 * saw before the last scrape (SDK 3.1), so that labels have to be bounded where they are given.
 */
const NEW_SERIES_MAX = 5_000;

/**
 * Sends everything measured through OpenTelemetry's metrics API of this process to Prometheus' text format. Call it
 * before the first instrument is made: instruments made earlier measure nothing.
 *
 * @param others who else reads what is measured.
 * @param attributes of whoever measures, in place of the name and version alone.
 */
export function startMetrics(
  options: MetricsOptions,
  others: readonly IMetricReader[] = [],
  attributes: Attributes = namesOf(options),
): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true, withResourceConstantLabels: POOL_ALONE });
  const provider = new MeterProvider({
    resource: resourceFromAttributes(attributes),
    readers: [exporter, ...others],
    views: [{ instrumentName: '*', aggregationCardinalityLimit: NEW_SERIES_MAX }],
  });
  metrics.setGlobalMeterProvider(provider);
  return {
    answerScrape: (request, response) => exporter.getMetricsRequestHandler(request, response),
    close: async () => {
      await provider.shutdown();
      metrics.disable();
    },
  };
}

/** What of a process is a label of each series, besides being told once, of the whole. */
const POOL_ALONE = /^pool$/;

export function namesOf({ serviceName, serviceVersion, pool }: MetricsOptions): Attributes {
  return { 'service.name': serviceName, 'service.version': serviceVersion, ...(pool !== undefined && { pool }) };
}

/** One measured thing, declared once: docs/reference/metrics.md is made from these. */
export interface MetricDeclaration {
  /** Prometheus' name, unit last: `millrace_request_duration_seconds`. */
  readonly name: string;
  readonly kind: 'counter' | 'up-down-counter' | 'histogram' | 'gauge';
  readonly unit: string;
  /** Each with its closed set of values, or `model`, which is bounded by the configuration. */
  readonly labels: readonly string[];
  /** What it says, and what to do when it moves. */
  readonly help: string;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}
