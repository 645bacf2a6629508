import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Metrics, startMetrics } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../vocabulary.js';
import { GATEWAY_METRICS } from './declarations.js';
import { RequestMetrics } from './request-metrics.js';

let metrics: Metrics;
beforeEach(() => {
  metrics = startMetrics({ serviceName: 'test', serviceVersion: '0' });
});
afterEach(() => metrics.close());

function page(): Promise<string> {
  return new Promise((resolve) => {
    const response = { setHeader: () => {}, end: resolve } as unknown as ServerResponse;
    metrics.answerScrape({} as IncomingMessage, response);
  });
}
const series = async () => (await page()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** A request of which nothing is like any other's. */
function record(number: number, changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    recordId: `record-${number}`,
    arrivedAtMs: number,
    requestId: `request-${number}`,
    traceId: `trace-${number}`,
    keyId: `key-${number}`,
    keyName: `name-${number}`,
    parameters: { user: `user-${number}` },
    cached: false,
    continued: false,
    contents: undefined,
    endpoint: 'chat',
    model: undefined,
    stream: true,
    outcome: 'served',
    code: undefined,
    limit: undefined,
    status: 200,
    worker: `worker-${number}`,
    attempts: 2,
    promptTokens: number,
    completionTokens: number,
    cachedTokens: number,
    reasoningTokens: 0,
    waitedMs: number,
    firstTokenMs: number,
    perTokenMs: number,
    totalMs: number,
    overheadMs: number,
    ...changes,
  };
}

describe('RequestMetrics', () => {
  it('has no more series after a million requests that each ask for a model of their own', async () => {
    const { observe } = new RequestMetrics();
    const refused = { outcome: 'rejected', code: 'model_not_found', status: 404 } as const;
    observe(record(1, refused));
    observe(record(1, { model: 'demo' }));
    const before = await series();
    for (let number = 0; number < 1_000_000; number++) observe(record(number, refused));
    for (let number = 0; number < 1_000; number++) observe(record(number, { model: 'demo' }));
    expect((await series()).length).toBe(before.length);
  });

  it('counts models as `other` once a worker has described too many, over all scrapes', async () => {
    const { observe } = new RequestMetrics();
    for (let number = 0; number < 2_000; number++) {
      observe(record(number, { model: `model-${number}` }));
      if (number % 500 === 499) await series();
    }
    const requests = (await series()).filter((line) => line.startsWith('millrace_requests_total{'));
    expect(requests).toHaveLength(64 + 1);
    expect(requests.find((line) => line.includes('model="other"'))).toMatch(/ 1936$/);
  });

  it('counts from 0 what a model is asked as soon as it is served, so that the first request is a step', async () => {
    const requests = new RequestMetrics();
    requests.begin({ id: 'demo', capabilities: ['chat'] });
    requests.begin({ id: 'vectors', capabilities: ['embedding'] });
    const before = await series();
    const of = (lines: readonly string[], start: string, model: string) =>
      lines
        .filter((line) => line.startsWith(start) && line.includes(`"${model}"`))
        .map((line) => line.split(' ').at(-1));
    expect(of(before, 'gen_ai_server_time_to_first_token_bucket', 'demo')).toEqual(Array(17).fill('0'));
    expect(of(before, 'gen_ai_server_request_duration_count', 'vectors')).toEqual(['0']);
    expect(of(before, 'gen_ai_server_time_to_first_token_count', 'vectors')).toEqual([]);
    expect(new Set(of(before, 'millrace_requests_total', 'demo'))).toEqual(new Set(['0']));
    requests.observe(record(1, { model: 'demo' }));
    expect(of(await series(), 'gen_ai_server_time_to_first_token_count', 'demo')).toEqual(['1']);
    expect(of(await series(), 'millrace_requests_total', 'demo').sort()).toEqual(['0', '0', '1']);
  });

  it('does not count as a late first token what nobody waits for', async () => {
    const { observe } = new RequestMetrics();
    observe(record(5_000, { model: 'demo', nobodyWaits: true }));
    observe(record(20, { model: 'demo' }));
    const lines = await series();
    const count = (name: string) =>
      lines
        .find((line) => line.startsWith(`${name}_count{`))
        ?.split(' ')
        .at(-1);
    expect(count('gen_ai_server_time_to_first_token')).toBe('1');
    expect(count('gen_ai_server_request_duration')).toBe('2');
  });

  it('measures the first pause between two pieces of an answer, and then one of sixteen', async () => {
    const { observeGap } = new RequestMetrics();
    const pauses = async () =>
      (await series())
        .find((line) => line.startsWith('millrace_token_gap_seconds_count'))
        ?.split(' ')
        .at(-1);
    observeGap(5, 'demo');
    expect(await pauses()).toBe('1');
    for (let pause = 2; pause <= 17; pause++) observeGap(5, 'demo');
    expect(await pauses()).toBe('2');
  });

  it('has no lines for more than eight models before they are asked', async () => {
    const requests = new RequestMetrics();
    for (let number = 0; number < 100; number++) requests.begin({ id: `model-${number}`, capabilities: ['chat'] });
    const counts = (await series()).filter((line) => line.startsWith('gen_ai_server_request_duration_count'));
    expect(counts).toHaveLength(8);
  });

  it('shows nothing of a single request', async () => {
    new RequestMetrics().observe(record(4711, { model: 'demo' }));
    expect(await page()).not.toMatch(/(record|request|trace|key|name|user|worker)-4711/);
  });
});

describe('the declarations', () => {
  /** Each with a closed set of values; a new one is put here once somebody has made sure of that. */
  const BOUNDED = new Set([
    ...[
      'endpoint',
      'outcome',
      'code',
      'model',
      'kind',
      'phase',
      'quantile',
      'reason',
      'answer',
      'limit',
      'door',
      'operation',
      'use',
      'direction',
      'state',
      'pool',
    ],
    ...['gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.request.model', 'error.type'],
  ]);

  it.each(GATEWAY_METRICS.map((one) => [one.name, one] as const))('are as they should be: %s', (name, metric) => {
    expect(name).toMatch(/^(millrace_[a-z_]+[a-z]|gen_ai\.[a-z_.]+)$/);
    const total = metric.kind === 'counter' ? /_total$/ : /^(?!.*_total$)/;
    expect(name).toMatch(total);
    if (name.startsWith('millrace_') && metric.unit === 's') expect(name).toMatch(/_seconds(_total)?$/);
    if (metric.unit === 'By') expect(name).toMatch(/_bytes(_total)?$/);
    expect(metric.help, 'says what to do when it moves').toMatch(/→/);
    for (const label of metric.labels) expect(BOUNDED, label).toContain(label);
    // Who asked, and which request it was, stand in records: as labels they would make series without end.
    for (const label of metric.labels) expect(label).not.toMatch(/key|caller|user|id$|address|worker|trace/);
  });
});
