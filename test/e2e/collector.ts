import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CollectedSpan {
  readonly name: string;
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** As OTLP numbers them: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface CollectedMetric {
  readonly name: string;
  readonly service: string;
  /** Of sums and histograms, over all that was sent last. */
  readonly points: readonly Readonly<Record<string, unknown>>[];
}

/** What takes telemetry, as OpenTelemetry's collector does: OTLP over HTTP, in JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp). */
export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  readonly metrics = new Map<string, CollectedMetric>();

  private constructor(
    readonly url: string,
    private readonly close: () => Promise<void>,
  ) {}

  static async start(): Promise<Collector> {
    const server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const body = JSON.parse(Buffer.concat(parts).toString());
      if (request.url === '/v1/traces') collector.spans.push(...spansIn(body));
      if (request.url === '/v1/metrics')
        for (const metric of metricsIn(body)) collector.metrics.set(metric.name, metric);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const collector = new Collector(`http://127.0.0.1:${port}`, async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    });
    return collector;
  }

  /** How a process is told of it, with little to wait for. */
  get environment(): NodeJS.ProcessEnv {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '300',
    };
  }

  /** Of the trace with this id, in the order in which they began. */
  trace(traceId: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId).sort((one, other) => one.startMs - other.startMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

function attributesIn(list: readonly Attribute[] = []): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, valueIn(value)]));
}

/** Whole numbers come as text. */
function valueIn(value: Readonly<Record<string, unknown>>): unknown {
  const [kind, content] = Object.entries(value)[0] ?? [];
  if (kind === 'intValue') return Number(content);
  if (kind !== 'arrayValue') return content;
  return (content as { values: readonly Readonly<Record<string, unknown>>[] }).values.map(valueIn);
}

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, which the tests look into.
function spansIn({ resourceSpans }: any): CollectedSpan[] {
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  return resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    scopeSpans.flatMap(({ spans }: any) =>
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      spans.map((span: any) => ({
        name: span.name,
        service: attributesIn(resource.attributes)['service.name'],
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        kind: span.kind,
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        failed: span.status?.code === 2,
        attributes: attributesIn(span.attributes),
      })),
    ),
  );
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
function metricsIn({ resourceMetrics }: any): CollectedMetric[] {
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  return resourceMetrics.flatMap(({ resource, scopeMetrics }: any) =>
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    scopeMetrics.flatMap(({ metrics }: any) =>
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      metrics.map((metric: any) => ({
        name: metric.name,
        service: attributesIn(resource.attributes)['service.name'],
        points: (metric.sum ?? metric.histogram ?? metric.gauge ?? { dataPoints: [] }).dataPoints,
      })),
    ),
  );
}
