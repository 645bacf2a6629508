import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BoundedLabel, counter, gauge, SumsByModel } from './instruments.js';
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

it('tells a model of which there is none any more as 0, and adds up those that share a label', async () => {
  const sums = new SumsByModel(new BoundedLabel(1));
  let counts: readonly (readonly [string, number])[] = [
    ['first', 1],
    ['second', 2],
    ['third', 3],
  ];
  const stop = gauge({ name: 'a', kind: 'gauge', unit: '{x}', labels: ['model'], help: 'x' }, () => sums.of(counts));
  expect(await seriesOf('a')).toEqual({ first: 1, other: 5 });
  counts = [];
  expect(await seriesOf('a')).toEqual({ first: 0, other: 0 });
  stop();
});

async function seriesOf(name: string): Promise<Record<string, number>> {
  const page = await new Promise<string>((resolve) => {
    const response = { setHeader: () => {}, end: resolve } as unknown as ServerResponse;
    metrics.answerScrape({} as IncomingMessage, response);
  });
  const series = [...page.matchAll(new RegExp(`^${name}\\{.*model="(\\w+)".*\\} (\\S+)$`, 'gm'))];
  return Object.fromEntries(series.map(([, model = '', value]) => [model, Number(value)]));
}
