import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answered, type LoadRequest, type Outcome, StreamedServer } from './ask-streamed.js';
import { type Drive, drive, type LoadTarget, type Pace } from './drive.js';
import { GapHistogram } from './gap-histogram.js';
import { loadReportText } from './load-report.js';
import { measureScenarios } from './measure-scenarios.js';
import { type LoadProgress, ProgressBar } from './progress-bar.js';
import { openScenario, readPrompts, SCENARIO_NAMES, type Scenario } from './scenarios.js';
import { StreamingServer } from './streaming-server.testing.js';
import { Tally } from './tally.js';

const EVENTS = 'data: {"choices": [{"delta": {"content": "one"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n';
const NEVER = new AbortController().signal;
const REPOSITORY = resolve(import.meta.dirname, '../../../../..');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-load-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const answered = (part: Partial<Answered> = {}): Answered => ({
  kind: 'answered',
  sentLateMs: 0,
  firstTokenMs: 1,
  totalMs: 2,
  gapsMs: [],
  tokens: 1,
  promptTokens: 1,
  cachedTokens: 0,
  isEmpty: false,
  text: 'answer',
  ...part,
});

/** Answers after some time, and remembers who asked what and when it was due. */
class SlowTarget implements LoadTarget {
  readonly asked: LoadRequest[] = [];
  inFlight = 0;
  inFlightMax = 0;

  constructor(
    readonly tookMs: number,
    readonly outcomeOf: (request: LoadRequest) => Outcome = (request) =>
      answered({ totalMs: performance.now() - request.dueMs }),
  ) {}

  async ask(request: LoadRequest, signal: AbortSignal): Promise<Outcome> {
    this.asked.push(request);
    this.inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    await sleep(this.tookMs, undefined, { signal }).finally(() => {
      this.inFlight -= 1;
    });
    return this.outcomeOf(request);
  }
}

const options = { prompts: join(REPOSITORY, 'configs/prompts'), run: 0 };
const SHORT = openScenario('short', options);
const clients = (count: number): Pace => ({ kind: 'closed', clients: count });
const rate = (perSecond: number, atOnceMax = 1_000): Pace => ({ kind: 'open', perSecond, atOnceMax });

async function driven(target: LoadTarget, part: Partial<Drive>, signal = NEVER) {
  const outcomes: Outcome[] = [];
  const plan = { scenario: SHORT, firstSession: 0, requests: 10, forMs: Infinity, pace: clients(1), ...part };
  const busyMs = await drive(target, plan, signal, (outcome) => outcomes.push(outcome));
  return { outcomes, busyMs };
}

describe('a load of clients that ask again when they are answered', () => {
  it('sends as many requests as are wanted, and never more at once than there are clients', async () => {
    const target = new SlowTarget(1);
    const { outcomes } = await driven(target, { requests: 50, pace: clients(8) });
    expect([outcomes.length, target.asked.length, target.inFlightMax]).toEqual([50, 50, 8]);
  });

  it('ends when its time is up, and waits for who was asked before', async () => {
    const target = new SlowTarget(40);
    const { outcomes, busyMs } = await driven(target, { requests: 1_000, forMs: 100, pace: clients(2) });
    expect(outcomes.length).toBeLessThan(1_000);
    expect(outcomes).toHaveLength(target.asked.length);
    expect(busyMs).toBeGreaterThanOrEqual(100);
  });

  it('goes on with a conversation from what was answered', async () => {
    const target = new SlowTarget(0, ({ messages }) => answered({ text: `answer ${messages.length}` }));
    await driven(target, { scenario: openScenario('chat', options), requests: 6 });
    expect(target.asked.map(({ messages }) => messages.length)).toEqual([1, 3, 5, 7, 1, 3]);
    const last = target.asked[3]!.messages.map(({ role, content }) => (role === 'user' ? role : content));
    expect(last).toEqual(['user', 'answer 1', 'user', 'answer 3', 'user', 'answer 5', 'user']);
  });

  it('begins another conversation where one failed', async () => {
    const failed: Outcome = { kind: 'failed', code: '429', message: '' };
    const target = new SlowTarget(0, ({ messages }) => (messages.length === 3 ? failed : answered()));
    await driven(target, { scenario: openScenario('chat', options), requests: 5 });
    expect(target.asked.map(({ messages }) => messages.length)).toEqual([1, 3, 1, 3, 1]);
  });

  it('stops at once when it is told to', async () => {
    const stop = new AbortController();
    const running = driven(new SlowTarget(60_000), { pace: clients(4) }, stop.signal);
    setTimeout(() => stop.abort(), 20);
    await expect(running).rejects.toThrow('aborted');
  });
});

describe('a load at a rate', () => {
  it('sends requests when they are due, whether or not others were answered', async () => {
    const target = new SlowTarget(300);
    await driven(target, { requests: 20, pace: rate(200) });
    expect(target.inFlightMax).toBeGreaterThan(10);
  });

  it('sends about as many as it was told, and not at even times', async () => {
    const target = new SlowTarget(0);
    await driven(target, { requests: 400, pace: rate(1_000) });
    const due = target.asked.map(({ dueMs }) => dueMs);
    const gaps = due.slice(1).map((ms, index) => ms - due[index]!);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    expect(mean).toBeGreaterThan(0.8);
    expect(mean).toBeLessThan(1.2);
    // Of exponential gaps, a third is longer than the mean by a factor that even ones never reach.
    expect(Math.max(...gaps)).toBeGreaterThan(mean * 3);
  });

  it('counts the time from when a request was due, so that a generator that was held up hides nothing', async () => {
    let held = false;
    const target = new SlowTarget(0, (request) => {
      // As a garbage collection would, of the server or of this process.
      const until = performance.now() + (held ? 0 : 200);
      held = true;
      while (performance.now() < until);
      return answered({ totalMs: performance.now() - request.dueMs });
    });
    const { outcomes } = await driven(target, { requests: 50, pace: rate(200) });
    const late = outcomes.filter((outcome) => outcome.kind === 'answered' && outcome.totalMs > 50);
    expect(late.length).toBeGreaterThan(10);
  });

  it('has the same crowds in each run', async () => {
    const gapsOf = async () => {
      const target = new SlowTarget(0);
      await driven(target, { requests: 20, pace: rate(1_000) });
      return target.asked.map(({ dueMs }) => Math.round((dueMs - target.asked[0]!.dueMs) * 1_000));
    };
    const [one, other] = [await gapsOf(), await gapsOf()];
    for (const [index, gap] of one.entries()) expect(Math.abs(gap - other[index]!)).toBeLessThanOrEqual(1);
  });

  it('is as high as it was told from the first requests on', async () => {
    const target = new SlowTarget(0);
    await driven(target, { requests: 500, pace: rate(2_000) });
    const due = target.asked.map(({ dueMs }) => dueMs);
    for (const count of [100, 200, 300, 500]) {
      const perSecond = (count - 1) / ((due[count - 1]! - due[0]!) / 1_000);
      expect(Math.abs(perSecond / 2_000 - 1), `${count} requests`).toBeLessThan(0.05);
    }
  });

  it('says how many it did not send, where too many were under way', async () => {
    const target = new SlowTarget(500);
    const { outcomes } = await driven(target, { requests: 20, pace: rate(1_000, 3) });
    expect(target.inFlightMax).toBe(3);
    expect(outcomes.filter((outcome) => outcome.kind === 'failed' && outcome.code === 'not sent')).toHaveLength(17);
  });

  it('spreads the rate over the turns of conversations', async () => {
    const target = new SlowTarget(0);
    await driven(target, { scenario: openScenario('chat', options), requests: 400, pace: rate(1_000) });
    const first = target.asked.filter(({ messages }) => messages.length === 1);
    expect(first.length).toBeLessThan(150);
    expect(target.asked.length).toBeGreaterThanOrEqual(400);
  });

  it('stops at once when it is told to', async () => {
    const stop = new AbortController();
    const running = driven(new SlowTarget(60_000), { requests: 100_000, pace: rate(100) }, stop.signal);
    setTimeout(() => stop.abort(), 50);
    await expect(running).rejects.toThrow('aborted');
  });
});

describe('a server that is asked', () => {
  let server: StreamingServer;
  beforeEach(async () => {
    server = await new StreamingServer().start();
  });
  afterEach(() => server[Symbol.asyncDispose]());

  async function ask(content: string, part: { url?: string; timeoutMs?: number } = {}): Promise<Outcome> {
    const headers = { authorization: 'Bearer sk-1' };
    const usual = { url: server.url, model: 'echo', headers, temperature: 0, ignoreEos: false, timeoutMs: 10_000 };
    const streamed = new StreamedServer({ ...usual, ...part, atOnceMax: 2 });
    try {
      return await streamed.ask(
        { messages: [{ role: 'user', content }], maxTokens: 9, dueMs: performance.now() - 1_000 },
        NEVER,
      );
    } finally {
      streamed.close();
    }
  }

  it('tells its tokens, and times that count from when the request was due', async () => {
    const outcome = (await ask('one two three')) as Answered;
    expect(outcome).toMatchObject({ tokens: 5, promptTokens: 7, cachedTokens: 3, text: 'one two three' });
    expect(outcome.gapsMs).toHaveLength(2);
    expect(outcome.sentLateMs).toBeGreaterThanOrEqual(1_000);
    expect(outcome.firstTokenMs).toBeGreaterThanOrEqual(1_000);
    expect(outcome.totalMs).toBeGreaterThanOrEqual(outcome.firstTokenMs);
    expect(server.keys).toEqual(['Bearer sk-1']);
    expect(server.bodies[0]).toMatchObject({ model: 'echo', max_tokens: 9, stream: true });
  });

  it('may write its events as it likes, and need not count tokens', async () => {
    expect(await ask('stranger one')).toMatchObject({ kind: 'answered', tokens: 3, text: 'stranger one ' });
  });

  it('may think first, by whichever name: that is its first token, and no part of its text', async () => {
    const outcome = (await ask('think of it')) as Answered;
    expect([outcome.text, outcome.gapsMs.length, outcome.isEmpty]).toEqual(['think of it', 4, false]);
  });

  it('may answer nothing, which is told', async () => {
    expect(await ask('silent')).toMatchObject({ kind: 'answered', isEmpty: true, text: '' });
  });

  it('fails when it does not stream, and is not said to have broken off', async () => {
    expect(await ask('whole')).toMatchObject({
      code: 'no stream',
      message: expect.stringContaining('application/json'),
    });
  });

  it.each([
    ['refuse', '429 rate_limit_exceeded', 'The waiting room is full.'],
    ['crash', '502', ''],
    ['cut', 'cut short', 'The stream ended before the answer did.'],
    ['break', 'in the stream: worker_lost', 'The worker went away.'],
    ['garble', 'unreadable stream (json)', 'An event of the stream is no JSON.'],
  ])('fails in its own words: %s', async (said, code, message) => {
    expect(await ask(said)).toEqual({ kind: 'failed', code, message });
  });

  it('fails when its time is up', async () => {
    expect(await ask('hang', { timeoutMs: 100 })).toMatchObject({ kind: 'failed', code: 'timeout' });
  });

  it('may close a connection that was idle just when it is used again: that is no failure, as it is none to other clients', async () => {
    let connections = 0;
    const closing = createServer((socket) => {
      connections += 1;
      let requests = 0;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        requests += 1;
        if (requests > 1) socket.resetAndDestroy();
        else
          socket.write(
            `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${EVENTS.length}\r\n\r\n${EVENTS}`,
          );
      });
    });
    await new Promise<void>((listening) => closing.listen(0, '127.0.0.1', listening));
    const url = `http://127.0.0.1:${(closing.address() as AddressInfo).port}`;
    const options = { url, model: 'm', headers: {}, temperature: 0, ignoreEos: false, timeoutMs: 5_000, atOnceMax: 1 };
    const streamed = new StreamedServer(options);
    const request = () => ({ messages: [{ role: 'user', content: 'one' }], maxTokens: 9, dueMs: performance.now() });
    try {
      for (let time = 0; time < 3; time++)
        expect(await streamed.ask(request(), NEVER)).toMatchObject({ kind: 'answered' });
      expect(connections).toBe(3);
    } finally {
      streamed.close();
      closing.close();
    }
  });

  it('fails when nobody is there', async () => {
    expect(await ask('one', { url: 'http://127.0.0.1:1' })).toMatchObject({ kind: 'failed', code: 'ECONNREFUSED' });
  });
});

describe('scenarios', () => {
  const textOf = (scenario: Scenario, session: number) =>
    scenario
      .messages(session, 0, [])
      .map(({ content }) => content)
      .join('\n');

  it('are told when one is named that does not exist', () => {
    expect(() => openScenario('medum', options)).toThrow('--scenario has "medum". Each is one of short, medium, long');
    expect(() => openScenario('toString', options)).toThrow('Each is one of');
  });

  it.each(SCENARIO_NAMES)('ask something: %s', (name) => {
    const scenario = openScenario(name, options);
    expect(scenario.name).toBe(name);
    expect(textOf(scenario, 3).length).toBeGreaterThan(5);
  });

  it('are longer from short to long, and begin differently in each request', () => {
    const [short, medium, long] = ['short', 'medium', 'long'].map((name) => openScenario(name, options));
    expect(textOf(medium!, 1).length).toBeGreaterThan(textOf(short!, 1).length * 5);
    expect(textOf(long!, 1).length).toBeGreaterThan(textOf(medium!, 1).length * 2);
    const beginnings = Array.from({ length: 50 }, (_, session) => textOf(long!, session).slice(0, 8));
    expect(new Set(beginnings).size).toBe(50);
  });

  it('share one system prompt within a run, and none with another run', () => {
    const [one, other] = [0, 5_000].map((run) => openScenario('shared-prefix', { ...options, run }));
    const systemOf = (scenario: Scenario, session: number) => scenario.messages(session, 0, [])[0]!.content;
    expect(systemOf(one!, 1)).toBe(systemOf(one!, 2));
    expect(one!.messages(1, 0, [])[1]).not.toEqual(one!.messages(2, 0, [])[1]);
    expect(systemOf(other!, 1).slice(0, 10)).not.toBe(systemOf(one!, 1).slice(0, 10));
  });
});

describe('prompts from files', () => {
  it('are those that come with Millrace, unless others are named', () => {
    expect(readPrompts(options.prompts).length).toBeGreaterThanOrEqual(4);
  });

  it('are all .txt files of a folder by name, or one file', () => {
    for (const [name, text] of Object.entries({ 'b.txt': ' second\n', 'a.txt': 'first', 'c.md': 'no prompt' })) {
      writeFileSync(join(folder, name), text);
    }
    expect(readPrompts(folder)).toEqual(['first', 'second']);
    expect(readPrompts(join(folder, 'b.txt'))).toEqual(['second']);
  });

  it('are refused with what to do', () => {
    expect(() => readPrompts(join(folder, 'away'))).toThrow("can't be read (ENOENT). Name a file or a folder");
    expect(() => readPrompts(folder)).toThrow('holds no .txt file');
    writeFileSync(join(folder, 'empty.txt'), '\n');
    expect(() => readPrompts(folder)).toThrow('empty.txt is empty');
    writeFileSync(join(folder, 'empty.txt'), 'x'.repeat(1_000_001));
    expect(() => readPrompts(folder)).toThrow('has 1000001 bytes; a prompt may have 1000000');
    rmSync(join(folder, 'empty.txt'));
    mkdirSync(join(folder, 'a-folder.txt'));
    expect(() => readPrompts(folder)).toThrow("can't be read (EISDIR)");
  });
});

describe('what is counted', () => {
  it('are answers, tokens and errors by name; times are those of answered requests', () => {
    const tally = new Tally();
    for (const firstTokenMs of [10, 20, 30]) {
      tally.take(answered({ firstTokenMs, totalMs: firstTokenMs * 2, tokens: 4, cachedTokens: 1, gapsMs: [5, 5] }));
    }
    tally.take({ kind: 'failed', code: 'timeout', message: 'late' });
    for (let time = 0; time < 2; time++) tally.take({ kind: 'failed', code: '429 full', message: 'full' });
    const figures = tally.figures(2_000);
    expect(figures).toMatchObject({
      requests: 6,
      answered: 3,
      failed: 3,
      tokens: 12,
      promptTokens: 3,
      cachedTokens: 3,
    });
    expect(figures).toMatchObject({ seconds: 2, requestsPerSecond: 1.5, tokensPerSecond: 6 });
    expect(figures.firstTokenMs).toEqual({ p50: 20, p95: 30, p99: 30 });
    expect(Object.entries(figures.errors)).toEqual([
      ['429 full', 2],
      ['timeout', 1],
    ]);
    expect(tally.firstFailure).toBe('timeout: late');
  });

  it('has no times where nothing was answered', () => {
    const tally = new Tally();
    tally.take({ kind: 'failed', code: 'timeout', message: '' });
    const { firstTokenMs, gapMs, totalMs, requestsPerSecond } = tally.figures(1_000);
    expect([firstTokenMs, gapMs, totalMs, requestsPerSecond]).toEqual([undefined, undefined, undefined, 0]);
  });

  it('does not let a server that makes up names for its errors fill the memory', () => {
    const tally = new Tally();
    for (let index = 0; index < 500; index++) tally.take({ kind: 'failed', code: `code ${index}`, message: '' });
    const { errors } = tally.figures(1_000);
    expect(Object.keys(errors)).toHaveLength(21);
    expect(errors.other).toBe(480);
  });

  it('are gaps to within 1 %', () => {
    const gaps = new GapHistogram();
    expect(gaps.percentile(50)).toBeUndefined();
    for (let ms = 1; ms <= 1_000; ms++) gaps.add(ms);
    for (const [percent, exact] of [
      [50, 500],
      [95, 950],
      [99, 990],
    ] as const) {
      const found = gaps.percentile(percent)!;
      expect(found).toBeGreaterThanOrEqual(exact * 0.9999);
      expect(found).toBeLessThanOrEqual(exact * 1.0101);
    }
    const odd = new GapHistogram();
    for (const ms of [0, Number.MAX_VALUE]) odd.add(ms);
    expect(odd.percentile(99)).toBeGreaterThan(3_000_000);
  });
});

describe('how far a measurement is', () => {
  const show = (isTerminal: boolean, atMs: readonly number[], columns?: number) => {
    let nowMs = 0;
    let written = '';
    const output = { write: (text: string) => (written += text), isTerminal, columns: () => columns };
    const bar = new ProgressBar(output, () => nowMs);
    bar.begin('short, 2 clients');
    for (const ms of atMs) {
      nowMs = ms;
      bar.show({ title: 'short, 2 clients', part: ms / 40_000, answered: ms / 100, failed: 3, seconds: ms / 1_000 });
    }
    bar[Symbol.dispose]();
    return written;
  };

  it('is a bar that moves on a terminal, and leaves nothing behind', () => {
    const written = show(true, [100, 20_000, 20_100]);
    expect(written.split('\r\x1b[K').slice(1)).toEqual([
      'measuring short, 2 clients …',
      'short, 2 clients  [############............]   50 %  200 answered  10.0/s  3 failed',
      '',
    ]);
  });

  it('is no wider than the terminal, or it could not be drawn over', () => {
    for (const columns of [20, 60]) {
      const lines = show(true, [20_000], columns).split('\r\x1b[K').slice(1);
      for (const line of lines) expect(line.length).toBeLessThan(columns);
    }
    expect(show(true, [20_000], 60)).toContain('short, 2 clients   50 %  200 answered  10.0/s  3 failed');
  });

  it('is a line now and then where there is none', () => {
    expect(show(false, [5_000, 10_000, 12_000, 20_000])).toBe(
      'measuring short, 2 clients …\n' +
        'short, 2 clients   25 %  100 answered  10.0/s  3 failed\n' +
        'short, 2 clients   50 %  200 answered  10.0/s  3 failed\n',
    );
  });
});

describe('a measurement that is stopped', () => {
  it('tells what it measured until then, the last run cut short', async () => {
    const stop = new AbortController();
    const target = new SlowTarget(1);
    const plan = { scenarios: [SHORT], paces: [clients(2), clients(4), clients(8)], forMs: Infinity, warmUp: 0 };
    const progress = {
      begin: () => undefined,
      show: ({ title, answered: count }: LoadProgress) => {
        if (title === 'short, 4 clients' && count > 20) stop.abort();
      },
    };
    const { runs } = await measureScenarios(target, { ...plan, requests: 100 }, progress, stop.signal);
    expect(runs.map((run) => ['clients' in run && run.clients, run.isCutShort ?? false])).toEqual([
      [2, false],
      [4, true],
    ]);
    expect(runs[1]!.answered).toBeGreaterThan(20);
    expect(runs[1]!.answered).toBeLessThan(100);
  });
});

describe('a report on a terminal', () => {
  const tally = new Tally();
  tally.take(answered({ firstTokenMs: 12, totalMs: 34, gapsMs: [5] }));
  tally.take({ kind: 'failed', code: '429 full', message: '' });
  const run = { scenario: 'short', maxTokens: 64, clients: 2, ...tally.figures(1_000) };
  const report = {
    report: 'millrace load',
    command: 'c',
    machine: 'm',
    url: 'u',
    model: 'tiny',
    temperature: 0,
  } as const;

  it('is a table where there is room, and else a line for each figure', () => {
    const runs = [run, { ...run, clients: 4 }];
    expect(loadReportText({ ...report, runs }, false, 200)).toMatch(/^short +2 clients +1\.0 +1 +12\.0 .* 50\.00 %$/m);
    const narrow = loadReportText({ ...report, runs }, false, 60);
    for (const line of narrow.split('\n').slice(3)) expect(line.length).toBeLessThanOrEqual(60);
    expect(narrow).toMatch(/^short +4 clients$/m);
    expect(narrow).toMatch(/^first p50 +12\.0$/m);
    expect(narrow).toMatch(/^total p99 +34\.0$/m);
    expect(narrow).toMatch(/^failed +50\.00 %$/m);
  });
});
