import { setImmediate as nextTurn } from 'node:timers/promises';
import { InferenceError } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Deadline, LOW_PRIORITY, type SequenceEvent } from '../vocabulary.js';
import { aModel, begun, finished, words } from './cache.testing.js';
import type { RunReader } from './shared-run.js';
import { type LedRun, SharedRuns, type SharedRunsLimits } from './shared-runs.js';

const LIMITS: SharedRunsLimits = {
  runBytesMax: 1_000_000,
  bytesMax: 10_000_000,
  requestTimeoutMs: 60_000,
  backgroundTimeoutMs: 60_000,
};
const answerOf = (count: number): SequenceEvent[] => [
  begun(),
  ...Array.from({ length: count }, (_, index) => words(`${index} `)),
  finished(),
];

/** Computes the same answer each time that it is asked, an event a turn, and remembers what became of it. */
class Source {
  runs = 0;
  returned = 0;
  pulled = 0;
  kept: (readonly SequenceEvent[])[] = [];
  readonly outgrown: string[] = [];
  /** When what is kept can be found elsewhere. */
  storing: Promise<void> = Promise.resolve();

  constructor(
    private readonly events: readonly SequenceEvent[],
    private readonly failure?: { readonly at: number; readonly error: unknown; readonly runs?: number },
  ) {}

  readonly led: LedRun = {
    priority: 0,
    open: async (deadline) => {
      this.runs++;
      return { kind: 'computed', events: this.#compute(deadline, this.runs), answeredBy: () => aModel() };
    },
    onWhole: async (_, events) => {
      this.kept.push([...events]);
      await this.storing;
    },
    onOutgrown: (_, reason) => void this.outgrown.push(reason),
  };

  async *#compute({ signal }: Deadline, run: number): AsyncGenerator<SequenceEvent> {
    try {
      for (const [at, event] of this.events.entries()) {
        await nextTurn();
        signal.throwIfAborted();
        if (this.failure?.at === at && run <= (this.failure.runs ?? 1)) throw this.failure.error;
        this.pulled++;
        yield event;
      }
    } finally {
      this.returned++;
    }
  }
}

/** Somebody who reads, and what it was told. */
class Reader implements RunReader {
  readonly controller = new AbortController();
  readonly deadline: Deadline;
  joined = 0;
  led: boolean | undefined;
  readonly paid: boolean[] = [];
  readonly got: SequenceEvent[] = [];
  error: unknown;

  constructor(remainingMs = 1_000) {
    this.deadline = { signal: this.controller.signal, remainingMs: () => remainingMs };
  }

  joins(): void {
    this.joined++;
  }

  begins(_: unknown, led: boolean): void {
    this.led = led;
  }

  settled(pays: boolean): void {
    this.paid.push(pays);
  }

  /** @param pauses turns to let pass before each event. @param most events to read before it leaves. */
  async read(events: AsyncIterable<SequenceEvent>, pauses = 0, most = Number.POSITIVE_INFINITY): Promise<void> {
    try {
      if (most === 0) return;
      for await (const event of events) {
        this.got.push(event);
        if (this.got.length >= most) return;
        for (let pause = 0; pause < pauses; pause++) await nextTurn();
      }
    } catch (error) {
      this.error = error;
    }
  }
}

const lost = new InferenceError('worker_lost', 'The worker is gone.');

describe('a shared run', () => {
  it('gives every reader that stays the whole answer, whoever comes late, is slow, leaves or is aborted, and leaves nothing', async () => {
    const plan = fc.record({
      after: fc.nat(30),
      pauses: fc.nat(3),
      most: fc.option(fc.nat(20), { nil: Number.POSITIVE_INFINITY }),
      abortAfter: fc.option(fc.nat(60), { nil: undefined }),
    });
    const sizes = fc.constantFrom(LIMITS.runBytesMax, 2_000, 500);
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { minLength: 1, maxLength: 8 }),
        fc.nat(25),
        sizes,
        async (plans, count, runBytesMax) => {
          const events = answerOf(count);
          const source = new Source(events);
          const runs = new SharedRuns({ ...LIMITS, runBytesMax });
          const readers = plans.map(() => new Reader());
          const reading = plans.map(async ({ after, pauses, most, abortAfter }, at) => {
            for (let turn = 0; turn < after; turn++) await nextTurn();
            const reader = readers[at]!;
            const done = reader.read(runs.answer('k', reader, source.led), pauses, most);
            if (abortAfter !== undefined) {
              for (let turn = 0; turn < abortAfter; turn++) await nextTurn();
              reader.controller.abort(new Error('left'));
            }
            await done;
          });
          await Promise.all(reading);
          for (let turn = 0; turn < 5; turn++) await nextTurn();
          for (const [at, reader] of readers.entries()) {
            const { most, abortAfter } = plans[at]!;
            expect(reader.got).toEqual(events.slice(0, reader.got.length));
            if (abortAfter === undefined) expect(reader.got.length).toBe(Math.min(most, events.length));
            else if (reader.error !== undefined) expect(reader.error).toEqual(new Error('left'));
          }
          expect([runs.size, runs.bytes]).toEqual([0, 0]);
          expect(source.returned).toBe(source.runs);
          const paying = readers.flatMap(({ paid }) => paid).filter((pays) => pays).length;
          expect(paying).toBeLessThanOrEqual(source.runs);
          if (readers.some(({ got }) => got.length === events.length)) expect(paying).toBeGreaterThan(0);
          for (const kept of source.kept) expect(kept).toEqual(events);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('is paid for once, by the first that has the whole answer', async () => {
    const source = new Source(answerOf(10));
    const runs = new SharedRuns(LIMITS);
    const [leaver, slow, quick] = [new Reader(), new Reader(), new Reader()];
    await Promise.all([
      leaver.read(runs.answer('k', leaver, source.led), 0, 5),
      slow.read(runs.answer('k', slow, source.led), 5),
      quick.read(runs.answer('k', quick, source.led)),
    ]);
    expect([leaver.led, slow.led, quick.led]).toEqual([true, false, false]);
    expect([leaver.paid, slow.paid, quick.paid]).toEqual([[false], [false], [true]]);
    expect(source.runs).toBe(1);
  });

  it('computes nothing that nobody waits for', async () => {
    const source = new Source(answerOf(100));
    const reader = new Reader();
    const events = new SharedRuns(LIMITS).answer('k', reader, source.led);
    for (let at = 0; at < 3; at++) await events.next();
    for (let turn = 0; turn < 50; turn++) await nextTurn();
    expect(source.pulled).toBe(3);
    await events.return(undefined);
    await expect.poll(() => source.returned).toBe(1);
  });

  it('holds little of an answer that outgrew its room, lets nobody join, and waits for the slowest', async () => {
    const long = (index: number) => words(`${index}`.padEnd(5_000, '.'));
    const events = [begun(), ...Array.from({ length: 100 }, (_, index) => long(index)), finished()];
    const source = new Source(events);
    const runs = new SharedRuns({ ...LIMITS, runBytesMax: 50_000 });
    const [quick, slow] = [new Reader(), new Reader()];
    const slowly = runs.answer('k', slow, source.led);
    const first = slowly.next();
    const reading = quick.read(runs.answer('k', quick, source.led));
    expect((await first).value).toEqual(events[0]);
    for (let turn = 0; turn < 400; turn++) await nextTurn();
    // 64 KiB, of 10 kB an event, behind which the slow one holds up the quick one.
    expect(source.pulled).toBeLessThan(12);
    expect(source.outgrown).toEqual(['too_large']);
    expect([runs.size, runs.canJoin('k', new Reader())]).toEqual([0, false]);
    const rest = slow.read(slowly);
    await Promise.all([reading, rest]);
    expect(quick.got).toEqual(events);
    expect(slow.got).toEqual(events.slice(1));
    expect(source.kept).toEqual([]);
    expect(runs.bytes).toBe(0);
  });

  it('goes on without one that stalled, once that is dropped', async () => {
    const events = [
      begun(),
      ...Array.from({ length: 60 }, (_, index) => words(`${index}`.padEnd(5_000, '.'))),
      finished(),
    ];
    const source = new Source(events);
    const runs = new SharedRuns({ ...LIMITS, runBytesMax: 50_000 });
    const [quick, stalled] = [new Reader(), new Reader()];
    const never = runs.answer('k', stalled, source.led);
    await never.next();
    const reading = quick.read(runs.answer('k', quick, source.led));
    for (let turn = 0; turn < 200; turn++) await nextTurn();
    expect(quick.got.length).toBeLessThan(20);
    await never.return(undefined);
    await reading;
    expect(quick.got).toEqual(events);
  });

  it('is not held where there is no room for all of them together', async () => {
    const source = new Source(answerOf(20));
    const runs = new SharedRuns({ ...LIMITS, bytesMax: 1_000 });
    const reader = new Reader();
    await reader.read(runs.answer('k', reader, source.led));
    expect(reader.got).toEqual(answerOf(20));
    expect([source.outgrown, source.kept, runs.bytes]).toEqual([['busy'], [], 0]);
  });

  it('can be joined after its end, until its answer can be found elsewhere', async () => {
    const source = new Source(answerOf(3));
    const stored = Promise.withResolvers<void>();
    source.storing = stored.promise;
    const runs = new SharedRuns(LIMITS);
    const [first, late, later] = [new Reader(), new Reader(), new Reader()];
    await first.read(runs.answer('k', first, source.led));
    await late.read(runs.answer('k', late, source.led));
    expect([source.runs, late.got, late.paid]).toEqual([1, answerOf(3), [false]]);
    stored.resolve();
    await expect.poll(() => runs.size).toBe(0);
    await later.read(runs.answer('k', later, source.led));
    expect(source.runs).toBe(2);
  });

  it('is not joined by whoever may still wait when it has to end', async () => {
    const source = new Source(answerOf(3));
    const runs = new SharedRuns({ ...LIMITS, requestTimeoutMs: 1_000 });
    const [first, patient] = [new Reader(), new Reader(10_000)];
    const events = runs.answer('k', first, source.led);
    await events.next();
    await patient.read(runs.answer('k', patient, source.led));
    expect([source.runs, patient.joined]).toEqual([2, 0]);
    await events.return(undefined);
  });
});

describe('a run that nobody waits for', () => {
  it('may be joined by others of its kind for as long as those may take', async () => {
    const source = new Source(answerOf(3));
    const led = { ...source.led, priority: LOW_PRIORITY };
    const runs = new SharedRuns({ ...LIMITS, requestTimeoutMs: 1_000, backgroundTimeoutMs: 10_000 });
    const [first, patient] = [new Reader(10_000), new Reader(10_000)];
    const events = runs.answer('k', first, led);
    await events.next();
    await patient.read(runs.answer('k', patient, led));
    expect([source.runs, patient.joined]).toEqual([1, 1]);
    await events.return(undefined);
  });
});

describe('a run that fails', () => {
  it('before its first event, since only the worker did: one of its followers leads another for all', async () => {
    const source = new Source(answerOf(3), { at: 0, error: lost });
    const runs = new SharedRuns(LIMITS);
    const readers = Array.from({ length: 50 }, () => new Reader());
    await Promise.all(readers.map((reader) => reader.read(runs.answer('k', reader, source.led))));
    expect(readers.map(({ error }) => error)).toEqual([lost, ...readers.slice(1).map(() => undefined)]);
    expect(readers.slice(1).every(({ got }) => got.length === 5)).toBe(true);
    expect(source.runs).toBe(2);
  });

  it('again and again: who has followed two runs for itself, and nobody tries for ever', async () => {
    const source = new Source(answerOf(3), { at: 0, error: lost, runs: Number.POSITIVE_INFINITY });
    const runs = new SharedRuns(LIMITS);
    const readers = Array.from({ length: 10 }, () => new Reader());
    await Promise.all(readers.map((reader) => reader.read(runs.answer('k', reader, source.led))));
    expect(readers.every(({ error }) => error === lost)).toBe(true);
    expect(source.runs).toBe(10);
    expect([runs.size, runs.bytes]).toEqual([0, 0]);
  });

  it.each([
    'invalid_request',
    'context_length_exceeded',
    'rate_limit_exceeded',
    'model_not_ready',
    'shutting_down',
    'internal_error',
  ] as const)('with %s is a failure of all who asked', async (code) => {
    const error = new InferenceError(code, 'No.');
    const source = new Source(answerOf(3), { at: 0, error, runs: 99 });
    const runs = new SharedRuns(LIMITS);
    const readers = Array.from({ length: 5 }, () => new Reader());
    await Promise.all(readers.map((reader) => reader.read(runs.answer('k', reader, source.led))));
    expect(readers.map((reader) => reader.error)).toEqual(readers.map(() => error));
    expect(source.runs).toBe(1);
  });

  it('in its middle fails those who have a part of it, and one of them pays for that', async () => {
    const source = new Source(answerOf(10), { at: 5, error: lost });
    const runs = new SharedRuns(LIMITS);
    const readers = [new Reader(), new Reader()];
    await Promise.all(readers.map((reader) => reader.read(runs.answer('k', reader, source.led))));
    expect(readers.map(({ error, got }) => [error, got.length])).toEqual([
      [lost, 5],
      [lost, 5],
    ]);
    expect(readers.flatMap(({ paid }) => paid).sort()).toEqual([false, true]);
    expect(source.kept).toEqual([]);
    expect([runs.size, runs.bytes]).toEqual([0, 0]);
  });
});
