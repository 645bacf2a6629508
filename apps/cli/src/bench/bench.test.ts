import { describe, expect, it } from 'vitest';
import { measureLevel } from './measure.js';
import { measureReuse, timesSooner } from './measure-reuse.js';
import { freshPrompt } from './prompts.js';
import { markdownReport, reuseReport } from './report.js';
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
    return { firstTokenMs: 1, totalMs: 2, tokens: 3, promptTokens: 5, cachedTokens: 0 };
  }

  async close(): Promise<void> {}
}

/** Reads a word in a millisecond, unless it has read the same system prompt before. It tells when, not how long. */
class RememberingTarget implements Target {
  readonly #known = new Set<string>();
  readonly events: string[] = [];

  async ask({ systemPrompt = '', prompt, onFirstToken }: BenchRequest): Promise<Sample> {
    const words = systemPrompt.split(' ').length;
    const cachedTokens = this.#known.has(systemPrompt) ? words : 0;
    this.#known.add(systemPrompt);
    this.events.push(`asked: ${prompt}`);
    await new Promise((resolve) => setImmediate(resolve));
    onFirstToken?.();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.events.push(`answered: ${prompt}`);
    const firstTokenMs = words - cachedTokens + 10;
    return { firstTokenMs, totalMs: firstTokenMs + 6, tokens: 6, promptTokens: words + 10, cachedTokens };
  }

  async close(): Promise<void> {}
}

const CHAT = { maxTokens: 8 };

describe('measureLevel', () => {
  it('lets gateway and worker take turns with the same requests, and changes who begins', async () => {
    const asked: string[] = [];
    const gateway = new CountingTarget('gateway', asked);
    const worker = new CountingTarget('worker', asked);
    const figures = await measureLevel(
      { gateway, worker },
      { clients: 1, requests: 3, requestsPerTurn: 4, request: CHAT },
    );

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
    await measureLevel({ gateway, worker: undefined }, { clients: 8, requests: 50, requestsPerTurn: 4, request: CHAT });
    expect(gateway.inFlightMax).toBe(8);
  });

  it('gives another server its turns too, and tells the speed of each turn', async () => {
    const asked: string[] = [];
    const [gateway, worker, beside] = ['gateway', 'worker', 'beside'].map((name) => new CountingTarget(name, asked));
    const load = { clients: 2, requests: 12, requestsPerTurn: 2, request: { ...CHAT, completion: true } };
    const clock = { seconds: 0 };
    const ticking = () => clock.seconds++;
    const clocks = { gateway: ticking, worker: ticking, beside: ticking };
    const figures = await measureLevel({ gateway: gateway!, worker, beside }, load, clocks);

    const turns = asked.slice(-36).map((line) => line.split(':')[0]);
    expect(turns.filter((_, index) => index % 4 === 0)).toEqual([
      ...['gateway', 'worker', 'beside'],
      ...['worker', 'beside', 'gateway'],
      ...['beside', 'gateway', 'worker'],
    ]);
    expect(figures.rounds).toHaveLength(3);
    for (const round of figures.rounds) {
      expect(Object.values(round).map(({ tokensPerCpuSecond }) => tokensPerCpuSecond)).toEqual([12, 12, 12]);
    }
    expect(figures.beside?.requests).toBe(12);
  });

  it('never sends a completion prompt twice', async () => {
    const asked: string[] = [];
    const targets = { gateway: new CountingTarget('', asked), worker: new CountingTarget('', asked) };
    const load = { clients: 4, requests: 100, requestsPerTurn: 4, request: { ...CHAT, completion: true } };
    await measureLevel(targets, load);
    expect(new Set(asked).size).toBe(asked.length);
    expect(new Set(asked.map((prompt) => prompt.length)).size).toBe(1);
  });
});

describe('measureReuse', () => {
  const options = { sharedTokens: 500, repetitions: 3, maxTokens: 6, run: 0 };

  it('asks about new system prompts of about the length wanted, each by two questions', async () => {
    const { afterwards, meanwhile } = await measureReuse(new RememberingTarget(), options);
    expect([afterwards.length, meanwhile.length]).toEqual([3, 3]);
    for (const { first, second } of [...afterwards, ...meanwhile]) {
      expect(first.cachedTokens).toBe(0);
      expect(second.cachedTokens).toBeGreaterThan(0);
      expect(first.promptTokens).toBeGreaterThanOrEqual(500);
      expect(first.promptTokens).toBeLessThan(550);
    }
    expect(timesSooner(afterwards)).toBeGreaterThan(5);
  });

  it('sends the second after the first answer, or between its first token and its last', async () => {
    const target = new RememberingTarget();
    await measureReuse(target, { ...options, repetitions: 1 });
    const kinds = target.events.slice(-8).map((event) => event.split(':')[0]);
    expect(kinds).toEqual([
      ...['asked', 'answered', 'asked', 'answered'],
      ...['asked', 'asked', 'answered', 'answered'],
    ]);
  });
});

describe('freshPrompt', () => {
  it('differs from its neighbours within its first characters', () => {
    const beginnings = Array.from({ length: 30 }, (_, index) => freshPrompt(index, index % 3).slice(0, 5));
    expect(new Set(beginnings).size).toBe(30);
  });
});

describe('figures', () => {
  const turn = (tokensPerSecond: number) => ({ tokensPerSecond, tokensPerCpuSecond: tokensPerSecond * 2 });
  const NOTHING = { promptTokens: 0, cachedTokens: 0 };

  it('are nearest-rank percentiles', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect([50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([50, 95, 99, 100]);
    expect(percentile([7], 99)).toBe(7);
  });

  it('count the time in which requests were under way', () => {
    const samples = [1, 2].map((ms) => ({ ...NOTHING, firstTokenMs: ms, totalMs: ms * 10, tokens: 5 }));
    expect(figuresOf(samples, 500)).toMatchObject({ requests: 2, requestsPerSecond: 4, tokensPerSecond: 20 });
  });

  it('compare each request with its twin, whatever the order of speed', () => {
    const sample = (totalMs: number) => ({ ...NOTHING, firstTokenMs: 1, totalMs, tokens: 1 });
    const { totalMs } = addedBy([10, 1000, 12].map(sample), [9, 998, 9].map(sample));
    expect(totalMs).toEqual({ p50: 2, p95: 3, p99: 3 });
  });

  it('become tables that say what the gateway adds', () => {
    const through = [{ ...NOTHING, firstTokenMs: 5, totalMs: 20, tokens: 10 }];
    const direct = [{ ...NOTHING, firstTokenMs: 4, totalMs: 20.5, tokens: 10 }];
    const gateway = figuresOf(through, 1000);
    const worker = figuresOf(direct, 1000);
    const added = addedBy(through, direct);
    const report = markdownReport({
      command: 'millrace bench',
      machine: 'a machine',
      model: 'tiny',
      requests: 1,
      maxTokens: 10,
      temperature: 0,
      beside: 'http://other',
      levels: [
        {
          clients: 1,
          gateway,
          worker,
          beside: worker,
          added,
          rounds: [
            { gateway: turn(80), worker: turn(95), beside: turn(100) },
            { gateway: turn(90), worker: turn(99), beside: turn(100) },
            { gateway: turn(70), worker: turn(90), beside: turn(100) },
          ],
        },
      ],
      grpcRoundTripMs: 0.456,
      gatewayMemoryMib: { idle: 100.4, afterLoad: 120 },
    });
    expect(report).toContain('| 1 | +1.00 | +1.00 | −0.50 | −0.50 |');
    expect(report).toContain('| 1 | 1.0 | 10 | 5.0 | 5.0 | 5.0 | 20.0 | 20.0 | 20.0 |');
    expect(report).toContain('| 3 | 100.0 | 90.0 | 70.0 | 0.900 | 0.700 |');
    expect(report).toContain('| median | 100.0 | 95.0 | 80.0 | 0.950 | 0.800 |');
    expect(report).toContain('| median | 200.0 | 190.0 | 160.0 | 0.950 | 0.800 |');
    expect(report).toContain('100 MiB idle');
    expect(report).toContain('### Added by the gateway (HTTP, validation, admission, routing)');
    expect(report).toContain('One gRPC round trip to the worker, without any work in it: 0.46 ms at the median.');
  });

  it('become a table of pairs that says how much sooner the second began', () => {
    const sample = (firstTokenMs: number, cachedTokens: number) => ({
      firstTokenMs,
      totalMs: 900,
      tokens: 8,
      promptTokens: 1520,
      cachedTokens,
    });
    const pair = { first: sample(800, 3), second: sample(100, 1500) };
    const figures = { afterwards: [pair], meanwhile: [pair] };
    const report = reuseReport({ command: 'millrace bench', machine: 'a machine', model: 'tiny', figures }, true);
    expect(report).toContain('| 1 | 1520 | 800.0 | 3 | 100.0 | 1500 | 8.0 |');
    expect(report).toContain('The median of the last column: 8.0.');
  });
});
