import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { counter } from './instruments.js';
import { type Metrics, startMetrics } from './metrics.js';

let metrics: Metrics;
beforeEach(() => {
  metrics = startMetrics({ serviceName: 'test', serviceVersion: '0' });
});
afterEach(() => metrics.close());

it('counts what has too many labels together, and says so', async () => {
  const counted = counter({ name: 'a_total', kind: 'counter', unit: '{x}', labels: ['mistake'], help: 'x' });
  for (let label = 0; label < 20_000; label++) counted.add(1, { mistake: String(label) });
  const page = await new Promise<string>((resolve) => {
    const response = { setHeader: () => {}, end: resolve } as unknown as ServerResponse;
    metrics.answerScrape({} as IncomingMessage, response);
  });
  const series = page.split('\n').filter((line) => line.startsWith('a_total{'));
  expect(series).toHaveLength(5_000);
  expect(series.find((line) => line.includes('otel_metric_overflow="true"'))).toMatch(/ 15001$/);
});
