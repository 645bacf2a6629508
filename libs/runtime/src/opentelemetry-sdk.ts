import { type Attributes, type ContextManager, DiagLogLevel, diag } from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import {
  detectResources,
  hostDetector,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { ConsoleMetricExporter, type IMetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { Logger } from './logger.js';
import { type MetricsOptions, namesOf } from './metrics.js';

/** What of OpenTelemetry's SDK is loaded only where telemetry is sent: some 60 modules. */

/** Complaints of one kind, such as that the collector is away, come with every try. */
const COMPLAINTS_PER_MINUTE_MAX = 3;

/** The SDK's own words, as lines of our log: a collector that is away is nobody's failure but its own. */
export function hearComplaints(logger: Logger): void {
  let minute = 0;
  let heard = 0;
  const tell = (level: 'warn' | 'debug') => (message: string) => {
    const now = Math.floor(performance.now() / 60_000);
    if (now !== minute) heard = 0;
    minute = now;
    if (level === 'warn' && ++heard > COMPLAINTS_PER_MINUTE_MAX) return;
    logger[level](
      { opentelemetry: wordsOf(message) },
      'OpenTelemetry could not do something; requests are answered regardless.',
    );
  };
  const warn = tell('warn');
  const rest = tell('debug');
  diag.setLogger({ error: warn, warn, info: rest, debug: rest, verbose: rest }, { logLevel: DiagLogLevel.WARN });
}

/** Some failures come as JSON, with their stacks. */
function wordsOf(message: string): string {
  if (!message.startsWith('{')) return message;
  try {
    const { message: words } = JSON.parse(message) as { readonly message?: unknown };
    return typeof words === 'string' && words !== '' ? words : message;
  } catch {
    return message;
  }
}

/** The same for traces and metrics. What the variables say goes before what we say. */
export async function resourceAttributes(options: MetricsOptions): Promise<Attributes> {
  const found = detectResources({
    detectors: [serviceInstanceIdDetector, hostDetector, serviceNameEnvDetector, resourceAttributesEnvDetector],
  });
  // Of some, such as the machine's id, the file is yet to be read.
  await found.waitForAsyncAttributes?.();
  return { ...namesOf(options), ...withoutUndefined(found.attributes) };
}

function withoutUndefined(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

/** Once a minute, unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise. */
export function openMetricReader(): IMetricReader {
  const { OTEL_METRICS_EXPORTER, OTEL_METRIC_EXPORT_INTERVAL, OTEL_METRIC_EXPORT_TIMEOUT } = process.env;
  const exporter = OTEL_METRICS_EXPORTER?.trim() === 'console' ? new ConsoleMetricExporter() : openMetricExporter();
  const intervalMs = positive(OTEL_METRIC_EXPORT_INTERVAL, 60_000);
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(positive(OTEL_METRIC_EXPORT_TIMEOUT, 30_000), intervalMs),
  });
}

function openMetricExporter() {
  const { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL } = process.env;
  const protocol = (OTEL_EXPORTER_OTLP_METRICS_PROTOCOL || OTEL_EXPORTER_OTLP_PROTOCOL || 'http/protobuf').trim();
  if (protocol === 'grpc') return new GrpcMetrics();
  return protocol === 'http/json' ? new JsonMetrics() : new ProtobufMetrics();
}

function positive(text: string | undefined, otherwise: number): number {
  const number = Number(text);
  return number > 0 ? number : otherwise;
}

/** Exporter, sampler, batches and limits by the standard variables. */
export function openTraces(attributes: Attributes): { close(): Promise<void> } {
  const sdk = new NodeSDK({
    resource: resourceFromAttributes(attributes),
    autoDetectResources: false,
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    // Who has a parent says so (tracing.ts): none is looked for along every `await`, which costs each of them something.
    contextManager: null as unknown as ContextManager,
    // Of what came over the wire http/trace-context.ts has made sure.
    textMapPropagator: null,
  });
  sdk.start();
  return { close: () => sdk.shutdown() };
}
