import { describe, expect, it } from 'vitest';
import { measureLevel } from './measure.js';
import { markdownReport } from './report.js';
import { addedBy, figuresOf, percentile } from './statistics.js';
import type { BenchRequest, Sample, Target } from './target.js';

/** Answers after a turn of the loop, and writes down what it was asked and how many asked at once. */
class CountingTarget implements Target {
  inFlight = 0;
  inFlightMax = 0;

  constructor(
    readonly name: string,
    readonly asked: string[],
  ) {}

  async ask({ prompt }: BenchRequest): Promise<Sample> {
    this.asked.push(`${this.name}: ${prompt}`);
    this.inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    await new Promise((resolve) => setImmediate(resolve));
    this.inFlight -= 1;
    return { firstTokenMs: 1, totalMs: 2, tokens: 3 };
  }

  async close(): Promise<void> {}
}

describe('measureLevel', () => {
  it('lets gateway and worker take turns with the same requests, and changes who begins', async () => {
    const asked: string[] = [];
    const gateway = new CountingTarget('gateway', asked);
    const worker = new CountingTarget('worker', asked);
    const figures = await measureLevel({ gateway, worker }, { clients: 1, requests: 3, maxTokens: 8 });

    const measured = asked.slice(-6);
    expect(measured.map((line) => line.split(':')[0])).toEqual([
      'gateway',
      'worker',
      'worker',
      'gateway',
      'gateway',
      'worker',
    ]);
    expect(measured[0]!.split(': ')[1]).toBe(measured[1]!.split(': ')[1]);
    expect(figures.gateway.requests).toBe(3);
    expect(figures.worker?.requests).toBe(3);
  });

  it('never has more requests under way than there are clients', async () => {
    const gateway = new CountingTarget('gateway', []);
    await measureLevel({ gateway, worker: undefined }, { clients: 8, requests: 50, maxTokens: 8 });
    expect(gateway.inFlightMax).toBe(8);
  });
});

describe('figures', () => {
  it('are nearest-rank percentiles', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect([50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([50, 95, 99, 100]);
    expect(percentile([7], 99)).toBe(7);
  });

  it('count the time in which requests were under way', () => {
    const samples = [1, 2].map((ms) => ({ firstTokenMs: ms, totalMs: ms * 10, tokens: 5 }));
    expect(figuresOf(samples, 500)).toMatchObject({ requests: 2, requestsPerSecond: 4, tokensPerSecond: 20 });
  });

  it('compare each request with its twin, whatever the order of speed', () => {
    const sample = (totalMs: number) => ({ firstTokenMs: 1, totalMs, tokens: 1 });
    const { totalMs } = addedBy([10, 1000, 12].map(sample), [9, 998, 9].map(sample));
    expect(totalMs).toEqual({ p50: 2, p95: 3, p99: 3 });
  });

  it('become tables that say what the gateway adds', () => {
    const through = [{ firstTokenMs: 5, totalMs: 20, tokens: 10 }];
    const direct = [{ firstTokenMs: 4, totalMs: 20.5, tokens: 10 }];
    const gateway = figuresOf(through, 1000);
    const worker = figuresOf(direct, 1000);
    const added = addedBy(through, direct);
    const report = markdownReport({
      command: 'millrace bench',
      machine: 'a machine',
      model: 'tiny',
      requests: 1,
      maxTokens: 10,
      levels: [{ clients: 1, gateway, worker, added }],
      grpcRoundTripMs: 0.456,
      gatewayMemoryMib: { idle: 100.4, afterLoad: 120 },
    });
    expect(report).toContain('| 1 | +1.00 | +1.00 | −0.50 | −0.50 |');
    expect(report).toContain('| 1 | 1.0 | 10 | 5.0 | 5.0 | 5.0 | 20.0 | 20.0 | 20.0 |');
    expect(report).toContain('100 MiB idle');
    expect(report).toContain('### Added by the gateway (HTTP, validation, admission, routing)');
    expect(report).toContain('One gRPC round trip to the worker, without any work in it: 0.46 ms at the median.');
  });
});
