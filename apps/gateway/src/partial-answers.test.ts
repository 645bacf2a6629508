import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import type { CallerRates } from './limits/caller-rates.js';

/** Counts what was reserved and what was used in the end. */
class Ledger implements CallerRates {
  readonly settled: number[] = [];
  open = 0;
  readonly trouble = undefined;

  async take() {
    this.open++;
    return {
      model: 'm',
      turnTo: async () => undefined,
      settle: (tokens: number) => {
        this.open--;
        this.settled.push(tokens);
      },
    };
  }

  async close(): Promise<void> {}
}

describe('an answer that does not come to its end', () => {
  let ledger: Ledger;
  let bed: TestBed;
  beforeEach(() => {
    ledger = new Ledger();
  });
  afterEach(() => bed[Symbol.asyncDispose]());

  async function start(...workers: FakeWorkerOptions[]): Promise<TestBed> {
    bed = await TestBed.start({ coldStartWaitMs: 0 }, workers, true, '127.0.0.1', { rates: ledger });
    return bed;
  }
  // What is served is counted from 0 on, before the first.
  const served = async () =>
    /^millrace_requests_total\{[^\n]*outcome="served"[^\n]*\} [1-9]/m.test(
      await (await fetch(`${bed.url}/metrics`)).text(),
    );

  it('counts what had come of a stream whose worker died, and calls it failed', async () => {
    await start({ script: () => ({ answer: ['a ', 'b ', 'c ', 'd '], dieAfterTokens: 2 }) });
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(200); // It was spent before anybody could know.
    const events = await eventsOf(response);
    expect(JSON.parse(events.at(-1)!.slice('data: '.length))).toMatchObject({ error: { code: 'worker_lost' } });
    const [record] = bed.records();
    expect(record).toMatchObject({ outcome: 'failed', code: 'worker_lost', status: 503, completionTokens: 2 });
    expect(ledger).toMatchObject({ open: 0, settled: [Number(record!.promptTokens) + 2] });
    expect(await served()).toBe(false);
  });

  it('counts what had come of a stream that the engine gave up', async () => {
    const failure = { code: 'upstream_failed', message: 'The engine gave up.', afterTokens: 3 };
    await start({ script: () => ({ answer: ['a ', 'b ', 'c ', 'd '], failure }) });
    const events = await eventsOf(await bed.chat({ stream: true }));
    expect(events.at(-1)).toContain('"code":"upstream_failed"');
    expect(bed.records()).toMatchObject([{ outcome: 'failed', code: 'upstream_failed', completionTokens: 3 }]);
    expect(ledger.settled).toEqual([Number(bed.records()[0]!.promptTokens) + 3]);
    expect(await served()).toBe(false);
  });

  it('counts what had come when its client left', async () => {
    await start({ stepMs: 5, script: () => ({ endless: 'x ' }) });
    const leaving = new AbortController();
    const response = await bed.chat({ stream: true }, { signal: leaving.signal });
    const reader = response.body!.getReader();
    for (let chunks = 0; chunks < 5; chunks++) await reader.read();
    leaving.abort();
    await expect.poll(() => ledger.open).toBe(0);
    const [record] = bed.records();
    expect(record).toMatchObject({ outcome: 'cancelled', code: 'client_closed_request', status: 499 });
    expect(Number(record!.completionTokens)).toBeGreaterThanOrEqual(4);
    expect(ledger.settled).toEqual([Number(record!.promptTokens) + Number(record!.completionTokens)]);
    expect(await served()).toBe(false);
  });

  it('settles exactly once for whoever left before anything came, and for who was refused', async () => {
    await start({ script: () => ({ silent: true }) });
    const leaving = new AbortController();
    const answer = bed.chat({}, { signal: leaving.signal });
    await expect.poll(() => bed.worker.started.length).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    expect((await bed.chat({ n: 500 })).status).toBe(400); // Never asked for a rate.
    await expect.poll(() => ledger).toMatchObject({ open: 0, settled: [0] });
  });
});

describe('a stream on its way', () => {
  it('tells proxies to keep nothing back, and is not compressed, whatever the client would take', async () => {
    await using bed = await TestBed.start();
    const response = await bed.chat({ stream: true }, { headers: { 'accept-encoding': 'gzip, br' } });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': expect.stringContaining('no-cache'),
      'x-accel-buffering': 'no',
    });
    expect(response.headers.get('content-encoding')).toBeNull();
    expect(response.headers.get('content-length')).toBeNull();
    await response.text();
  });

  it('lets each token go when it is there', async () => {
    const words = Array.from({ length: 40 }, (_, index) => `w${index} `);
    await using bed = await TestBed.start({}, [{ stepMs: 50, script: () => ({ answer: words }) }]);
    const reader = (await bed.chat({ stream: true })).body!.getReader();
    let said = '';
    while (!said.includes('w0')) said += new TextDecoder().decode((await reader.read()).value);
    expect(said).not.toContain('w39'); // Two seconds before that.
    await reader.cancel();
  });
});
