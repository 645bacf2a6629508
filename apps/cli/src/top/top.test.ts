import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { histogramIn, quantileOf } from './histogram.js';
import { History } from './history.js';
import { GATEWAY, WORKER } from './metric-names.js';
import { parseMetrics } from './metrics-text.js';
import { between, type Reading } from './reading.js';
import { plainLine, type ScreenText, screenLines } from './screen.js';
import { sparkline } from './sparkline.js';
import { topCommand } from './top-command.js';

interface Counted {
  readonly served?: number;
  readonly failed?: number;
  /** First tokens within 10 ms, 100 ms, and later. */
  readonly firstTokens?: readonly [number, number, number];
  readonly waiting?: number;
}

function metricsText({ served = 0, failed = 0, firstTokens = [0, 0, 0], waiting = 0 }: Counted): string {
  const [first, second, third] = firstTokens;
  const count = first + second + third;
  const labels = 'gen_ai_operation_name="chat",gen_ai_request_model="tiny"';
  return `# HELP ${GATEWAY.requests} Requests that ended.
# TYPE ${GATEWAY.requests} counter
${GATEWAY.requests}{endpoint="chat",outcome="served",code="none",model="tiny"} ${served}
${GATEWAY.requests}{endpoint="chat",outcome="failed",code="engine_failed",model="tiny"} ${failed}
${GATEWAY.requests}{endpoint="admin",outcome="served",code="none",model="unknown"} ${served * 10}
${GATEWAY.tokens}{kind="prompt",model="tiny"} ${served * 20}
${GATEWAY.tokens}{kind="cached",model="tiny"} ${served * 5}
${GATEWAY.tokens}{kind="completion",model="tiny"} ${served * 30}
${GATEWAY.firstToken}_bucket{${labels},le="0.01"} ${first}
${GATEWAY.firstToken}_bucket{${labels},le="0.1"} ${first + second}
${GATEWAY.firstToken}_bucket{${labels},le="+Inf"} ${count}
${GATEWAY.firstToken}_count{${labels}} ${count}
${GATEWAY.firstToken}_sum{${labels}} ${count * 0.05}
${GATEWAY.running} 3
${GATEWAY.waiting} ${waiting}
`;
}

function workerText(steps: number): string {
  return `${WORKER.running} 4
${WORKER.waiting} 1
${WORKER.batchSize}_bucket{le="4"} ${steps}
${WORKER.batchSize}_bucket{le="+Inf"} ${steps}
${WORKER.batchSize}_sum ${steps * 3.5}
${WORKER.batchSize}_count ${steps}
${WORKER.tokens}{kind="generated"} ${steps * 4}
${WORKER.tokens}{kind="prompt"} ${steps}
${WORKER.tokens}{kind="cached"} ${steps * 3}
`;
}

const HEALTH = {
  status: 'ok' as const,
  ready: { status: 'ready' as const, capabilities: {} },
  version: '0.1.0',
  node: 'v24',
  workers: [
    {
      address: 'w:1',
      state: 'ready' as const,
      detail: '',
      version: '0.1.0',
      running: 3,
      running_max: 12,
      waiting: 0,
      models: ['tiny'],
    },
    { address: 'w:2', state: 'lost' as const, detail: 'no answer', version: '', running: 0, waiting: 0, models: [] },
  ],
};

function reading(atMs: number, counted: Counted, workerSteps?: number): Reading {
  const workers = workerSteps === undefined ? [] : [['http://w:9', parseMetrics(workerText(workerSteps))] as const];
  return { atMs, metrics: parseMetrics(metricsText(counted)), health: HEALTH, workers: new Map(workers) };
}

describe('Prometheus’ text', () => {
  it('becomes samples by name, and what is no line of it is passed over', () => {
    const text = [
      '# HELP a_total of a',
      'a_total{x="1",y="a \\"quoted\\" \\\\ one, with } and {"} 3',
      'a_total{x="2"} 4.5 1795353185000',
      'b +Inf',
      'c_bucket{le="0.5"} 7 # {trace_id="abc"} 0.3',
      'nonsense',
      '',
    ].join('\r\n');
    const metrics = parseMetrics(text);
    expect(metrics.get('a_total')).toEqual([
      { labels: { x: '1', y: 'a "quoted" \\ one, with } and {' }, value: 3 },
      { labels: { x: '2' }, value: 4.5 },
    ]);
    expect(metrics.get('b')![0]!.value).toBe(Number.POSITIVE_INFINITY);
    expect(metrics.get('c_bucket')).toEqual([{ labels: { le: '0.5' }, value: 7 }]);
    expect(metrics.size).toBe(3);
  });

  it('has every name that is read here', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../../docs/reference/metrics.md'), 'utf8');
    const documented = [...page.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name!.replaceAll('.', '_'));
    expect(documented).toEqual(expect.arrayContaining([...Object.values(GATEWAY), ...Object.values(WORKER)]));
  });
});

describe('quantiles', () => {
  const of = (text: string, share: number) => quantileOf(histogramIn(parseMetrics(text), 'h'), share);
  const TEN = 'h_bucket{le="1"} 2\nh_bucket{le="3"} 8\nh_bucket{le="+Inf"} 10\nh_count 10\nh_sum 20\n';

  it('are spread evenly within a bucket, as Prometheus does it', () => {
    expect(of(TEN, 0.5)).toEqual({ seconds: 2, is: 'within' });
    expect(of(TEN, 0.8)).toEqual({ seconds: 3, is: 'within' });
  });

  it('say when no more is known than a bound', () => {
    expect(of(TEN, 0.1)).toEqual({ seconds: 1, is: 'below' });
    expect(of(TEN, 0.99)).toEqual({ seconds: 3, is: 'beyond' });
  });

  it('are none where there were no values', () => {
    expect(of('h_bucket{le="1"} 0\nh_bucket{le="+Inf"} 0\nh_count 0\n', 0.5)).toBeUndefined();
    expect(of('', 0.5)).toBeUndefined();
  });
});

describe('between two readings', () => {
  it('there are rates, and nobody who only looks is counted', () => {
    const interval = between(reading(0, { served: 10 }), reading(2_000, { served: 30, failed: 4 }));
    expect(interval).toMatchObject({ requests: 12, byOutcome: { served: 10, failed: 2 } });
    expect(interval).toMatchObject({ answerTokens: 300, promptTokens: 200, cachedPart: 0.25 });
    expect(interval.models).toMatchObject([{ model: 'tiny', requests: 12, answerTokens: 300 }]);
  });

  it('percentiles are those of what came in between', () => {
    const before = reading(0, { firstTokens: [0, 0, 1_000] });
    const { firstToken, total } = between(before, reading(1_000, { firstTokens: [0, 100, 1_000] }));
    expect(firstToken.p50).toEqual({ seconds: expect.closeTo(0.055), is: 'within' });
    expect(firstToken.p99!.seconds).toBeLessThan(0.1);
    expect(total).toEqual({ p50: undefined, p95: undefined, p99: undefined });
  });

  it('a gateway that started anew has done what it counted since', () => {
    const before = reading(0, { served: 1_000, firstTokens: [0, 500, 0] });
    const interval = between(before, reading(1_000, { served: 5, firstTokens: [0, 0, 5] }));
    expect(interval.requests).toBe(5);
    expect(interval.firstToken.p50).toEqual({ seconds: 0.1, is: 'beyond' });
  });

  it('workers tell their batches, and one that does not answer is no error', () => {
    const [before, after] = [reading(0, {}, 100), reading(1_000, {}, 150)];
    expect(between(before, after).workers).toMatchObject([
      {
        address: 'http://w:9',
        figures: { running: 4, waiting: 1, batchMean: 3.5, generatedTokens: 200, cachedPart: 0.75 },
      },
    ]);
    const away = { ...after, workers: new Map([['http://w:9', undefined]]) };
    expect(between(before, away).workers).toEqual([{ address: 'http://w:9', figures: undefined }]);
  });
});

describe('the history', () => {
  it('holds percentiles of the last minute, and forgets what is older', () => {
    const history = new History(60_000);
    for (let second = 0; second <= 300; second += 1) history.add(reading(second * 1_000, { served: second }));
    expect(history.moments.length).toBeLessThan(61);
    expect(history.window!.seconds).toBeLessThanOrEqual(60);
    expect(history.window!.seconds).toBeGreaterThan(50);
    expect(history.now!.interval.requests).toBe(1);
  });

  it('reaches back as far for who looks more often', () => {
    const history = new History(60_000);
    for (let look = 0; look <= 900; look++) history.add(reading(look * 100, { served: look }));
    expect(history.window!.seconds).toBeGreaterThan(56);
    expect(history.window!.seconds).toBeLessThanOrEqual(60);
    expect(history.window!.interval.requests).toBeCloseTo(10);
    expect(history.moments).toHaveLength(60);
  });

  it('holds nothing against a gateway that started anew, not even what has since grown past what was before', () => {
    const history = new History(60_000);
    history.add(reading(0, { served: 1_000, firstTokens: [0, 0, 40] }));
    history.add(reading(2_000, { served: 1_010, firstTokens: [0, 0, 50] }));
    history.add(reading(4_000, { served: 2, firstTokens: [2, 0, 0] }));
    expect(history.now!.interval.requests).toBe(1);
    history.add(reading(6_000, { served: 1_200, firstTokens: [1_200, 0, 0] }));
    const { interval, seconds } = history.window!;
    expect([seconds, interval.requests]).toEqual([4, 300]);
    expect(interval.firstToken.p99).toEqual({ seconds: 0.01, is: 'below' });
  });

  it('has a window as long as one look, where looks are farther apart than the window', () => {
    const history = new History(60_000);
    for (const second of [0, 300]) history.add(reading(second * 1_000, { served: second }));
    expect(history.window!.seconds).toBe(300);
  });
});

describe('sparklines', () => {
  it('reach from 0 to the greatest of what is shown', () => {
    expect(sparkline([0, 1, 2, 4], 10)).toBe('▁▃▅█');
    expect(sparkline([99, 0, 0, undefined, 0], 4)).toBe('▁▁·▁');
    expect(sparkline([], 10)).toBe('');
  });
});

describe('what is shown', () => {
  const size = { columns: 200, rows: 60 };
  function shown(part: Partial<ScreenText> = {}): ScreenText {
    const history = new History(60_000);
    history.add(reading(0, {}, 0));
    history.add(reading(2_000, { served: 40, failed: 2, firstTokens: [0, 38, 2], waiting: 7 }, 10));
    return { history, url: 'http://gateway', clock: '12:00:00', trouble: undefined, ...part };
  }

  it('has rates, latency, queue, workers, engines and models', () => {
    const text = screenLines(shown(), size).join('\n');
    expect(text).toContain('Millrace 0.1.0  http://gateway  ready  12:00:00');
    expect(text).toMatch(/^REQUESTS\/S +21\.0 +█ +failed 1\.0 +served 20\.0$/m);
    expect(text).toMatch(/^TOKENS\/S +600 +█ +prompts 400, 25 % of them cached$/m);
    expect(text).toMatch(/^WAITING +7 +█$/m);
    expect(text).toMatch(/^first token +57 +100 +>100 +█$/m);
    expect(text).toMatch(/^whole answer +– +– +– +·$/m);
    expect(text).toMatch(/^w:1 +ready +3 of 12 +25 % +0 +tiny$/m);
    expect(text).toMatch(/^w:2 +lost +0 +– +0 +no answer$/m);
    expect(text).toMatch(/^http:\/\/w:9 +4 running, 1 waiting +3\.5/m);
    expect(text).toMatch(/^tiny +21\.0 +600 +57 +100 +– +–$/m);
  });

  it('fits the screen', () => {
    const lines = screenLines(shown(), { columns: 40, rows: 12 });
    expect(lines).toHaveLength(12);
    expect(Math.max(...lines.map((line) => [...line].length))).toBe(40);
  });

  it('has the newest of a course and its foot on a narrow and low screen, too', () => {
    const history = new History(60_000);
    for (let look = 0; look <= 59; look++) history.add(reading(look * 1_000, { served: 2 ** (look / 2) }));
    const lines = screenLines(shown({ history }), { columns: 60, rows: 24 });
    expect(lines.at(-1)).toBe('q leaves');
    expect(lines.find((line) => line.startsWith('TOKENS/S'))).toMatch(/[▁-▇]█ {2}prompts /);
    expect(lines.some((line) => line.startsWith('LATENCY') && line.endsWith('…'))).toBe(false);
    for (let rows = 1; rows < 60; rows++) {
      const fitted = screenLines(shown({ history }), { columns: 60, rows });
      expect(fitted.length).toBeLessThanOrEqual(rows);
      // No headings above nothing.
      for (const heading of ['WORKER', 'MODEL']) {
        const at = fitted.findIndex((line) => line.startsWith(heading));
        if (at !== -1) expect(fitted[at + 1], `${heading} in ${rows} rows`).toMatch(/^(w:|tiny)/);
      }
    }
  });

  it('shares the screen out among tables, what matters most first, and says how many are missing', () => {
    const history = new History(60_000);
    const worker = (number: number) => ({ ...HEALTH.workers[0]!, address: `w:${number}`, running: number % 10 });
    const workers = [...Array.from({ length: 100 }, (_, number) => worker(number)), HEALTH.workers[1]!];
    const models = Array.from({ length: 40 }, (_, number) => `tiny-${number}`);
    for (const atMs of [0, 1_000]) {
      const metrics = models.map((model, number) =>
        metricsText({ served: (atMs / 1_000) * number }).replaceAll('tiny', model),
      );
      history.add({ ...reading(atMs, {}), metrics: parseMetrics(metrics.join('')), health: { ...HEALTH, workers } });
    }
    const lines = screenLines(shown({ history }), { columns: 120, rows: 30 });
    expect(lines).toHaveLength(30);
    const table = (heading: string) => lines.slice(lines.findIndex((line) => line.startsWith(heading)) + 1);
    expect(table('WORKER')[0]).toMatch(/^w:2 +lost /);
    expect(table('WORKER')[1]).toMatch(/^w:9 +ready +9 of 12 +75 %/);
    expect(table('MODEL')[0]).toMatch(/^tiny-39 +39\.0/);
    const missing = lines.flatMap((line) => /^… and (\d+) more$/.exec(line)?.[1] ?? []);
    const shownRows = lines.filter((line) => /^(w:|tiny-)\d/.test(line)).length;
    expect(missing.reduce((sum, count) => sum + Number(count), 0) + shownRows).toBe(141);
    expect(
      screenLines(shown({ history }), { columns: 120, rows: 200 }).filter((line) => line.startsWith('w:')),
    ).toHaveLength(101);
  });

  it('shows what is below the first bound as little, and not as much', () => {
    const history = new History(60_000);
    for (const second of [0, 1, 2]) history.add(reading(second * 1_000, { firstTokens: [second * 5, 0, 0] }));
    expect(screenLines(shown({ history }), size).join('\n')).toMatch(/^first token +<10 +<10 +<10 +▁▁$/m);
  });

  it('says how full batches are, where workers say how full they can be', () => {
    const history = new History(60_000);
    for (const [look, steps] of [0, 10].entries()) {
      const workers = new Map([['http://w:9', parseMetrics(`${workerText(steps)}${WORKER.batchSizeMax} 8\n`)]]);
      history.add({ ...reading(look * 1_000, {}), workers });
    }
    expect(screenLines(shown({ history }), size).join('\n')).toMatch(
      /^http:\/\/w:9 +4 running, 1 waiting +3\.5 of 8 /m,
    );
    expect(plainLine(shown({ history }))).toContain('batch 3.5 of 8 at http://w:9');
  });

  it('says why the gateway does not answer, and goes on showing what it last knew', () => {
    const text = screenLines(shown({ trouble: 'No gateway answers at http://gateway.' }), size).join('\n');
    expect(text).toContain('No gateway answers');
    expect(text).toContain('http://gateway  no answer  12:00:00');
    expect(text).toContain('w:1');
  });

  it('moves no cursor, whatever models and workers are called', () => {
    const history = new History(60_000);
    const evil = 'e\u001b[2J\u202Evil';
    const [worker] = HEALTH.workers;
    for (const atMs of [0, 1_000]) {
      const metrics = parseMetrics(metricsText({ served: atMs }).replaceAll('tiny', evil));
      const health = { ...HEALTH, workers: [{ ...worker!, address: evil, models: [evil] }] };
      history.add({ ...reading(atMs, {}), metrics, health });
    }
    const text = screenLines(shown({ history }), size).join('\n');
    expect(text).toContain('e�[2J�vil');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there.
    expect(text).not.toMatch(/[\u001b\u202e]/);
  });

  it('is one line where there is no terminal', () => {
    expect(plainLine(shown())).toBe(
      '12:00:00  21.0 requests/s  600 tokens/s  first token 57/100/>100 ms  total –/–/– ms  3 running  7 waiting  1 of 2 workers ready  batch 3.5 at http://w:9  failed 1.0/s',
    );
    expect(plainLine(shown({ trouble: 'No gateway answers.' }))).toBe('12:00:00  No gateway answers.');
  });
});

describe('millrace top', () => {
  let server: Server;
  let url: string;
  let scrapes: number;
  let keys: (string | undefined)[];
  /** What the gateway does with the next look. */
  let mood: 'well' | 'away' | 'stranger' | 'closed';
  beforeEach(async () => {
    scrapes = 0;
    keys = [];
    mood = 'well';
    server = createServer((request, response) => {
      keys.push(request.headers.authorization);
      if (mood === 'away') response.destroy();
      else if (mood === 'closed') {
        const error = {
          message: 'It wants MILLRACE_ADMIN_KEY.',
          type: 'invalid_request_error',
          param: null,
          code: 'x',
        };
        response.writeHead(401).end(JSON.stringify({ error }));
      } else if (mood === 'stranger') response.end('{"hello":"world"}');
      else if (request.url === '/health') response.end(JSON.stringify(HEALTH));
      else response.end(metricsText({ served: scrapes++ * 10 }));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function top(onLine: (line: string) => void, ...args: string[]): Promise<number> {
    return topCommand.run({
      args: ['--every', '0.1', ...args],
      environment: { MILLRACE_ADMIN_KEY: 'the-admin-key-of-this-test' },
      workingFolder: '/',
      write: onLine,
      isTerminal: false,
    });
  }

  it('writes a line for each look, and ends after as many as were wanted', async () => {
    const lines: string[] = [];
    expect(await top((line) => lines.push(line), '--url', url, '--count', '2')).toBe(0);
    expect(lines).toHaveLength(2);
    for (const line of lines)
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d {2}[1-9][\d.]* requests\/s .* 1 of 2 workers ready\n$/);
    expect(new Set(keys)).toEqual(new Set(['Bearer the-admin-key-of-this-test']));
  });

  it('goes on when the gateway is away for a while', async () => {
    const lines: string[] = [];
    const onLine = (line: string) => {
      lines.push(line);
      mood = lines.length === 1 ? 'away' : 'well';
    };
    await top(onLine, '--url', url, '--count', '3');
    expect(lines[0]).toContain('requests/s');
    expect(lines[1]).toContain(`No gateway answers at ${url}`);
    expect(lines[2]).toContain('requests/s');
  });

  it('says so at once where there is no gateway, or something else', async () => {
    await expect(top(() => undefined, '--url', 'http://127.0.0.1:1')).rejects.toThrow('No gateway answers at');
    mood = 'stranger';
    await expect(top(() => undefined, '--url', url)).rejects.toThrow('is no Millrace gateway of this release');
    await expect(top(() => undefined, '--url', url, '--worker-metrics', 'w:9')).rejects.toThrow(
      '--worker-metrics has "w:9", which is no address',
    );
  });

  it('names the key that is wanted, and no other', async () => {
    mood = 'closed';
    await expect(top(() => undefined, '--url', url)).rejects.toThrow(/^It wants MILLRACE_ADMIN_KEY\.$/);
  });

  it('shows the worker as away that does not answer', async () => {
    const lines: string[] = [];
    await top((line) => lines.push(line), '--url', url, '--count', '1', '--worker-metrics', 'http://127.0.0.1:1');
    expect(lines[0]).not.toContain('batch');
  });
});
