import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from './logger.js';
import { type Metrics, type MetricsOptions, startMetrics } from './metrics.js';
import { askedOf, type Signal } from './telemetry-variables.js';
import { switchTracing } from './tracing.js';

export interface TelemetryOptions extends MetricsOptions {
  /** OpenTelemetry's own variables: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. */
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

export interface Telemetry extends Metrics {
  /** What is sent to a collector, besides what a scrape asks for. */
  readonly sent: readonly Signal[];
}

/** A collector that is away must not hold up a process that stops; what it did not get by then is lost. */
const CLOSE_MS_MAX = 3_000;

/**
 * Metrics for scrapes; and, where OpenTelemetry's variables ask for it, metrics and traces to a collector. Without them its SDK is not
 * even loaded. Call it before the first instrument is made.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { environment, logger } = options;
  const { sent, mistakes } = askedOf(environment);
  for (const { signal, text } of mistakes) logger.warn(`No ${signal} are sent to a collector: ${text}`);
  if (sent.length === 0) return { ...startMetrics(options), sent };

  // The SDK knows no other place, and .env is none of its own.
  for (const [name, value] of Object.entries(environment)) {
    if (name.startsWith('OTEL_')) process.env[name] ??= value;
  }
  const { hearComplaints, openMetricReader, openTraces, resourceAttributes } = await import('./opentelemetry-sdk.js');
  hearComplaints(logger);
  const attributes = await resourceAttributes(options);
  const metrics = startMetrics(options, sent.includes('metrics') ? [openMetricReader()] : [], attributes);
  const traces = sent.includes('traces') ? openTraces(attributes) : undefined;
  switchTracing(traces !== undefined);
  logger.info({ sent }, `Telemetry goes to OpenTelemetry's collector: ${sent.join(' and ')}.`);
  return {
    answerScrape: metrics.answerScrape,
    sent,
    close: async () => {
      switchTracing(false);
      const closed = Promise.allSettled([metrics.close(), traces?.close()]);
      await Promise.race([closed, sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
    },
  };
}
