import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ModelDescription } from '@millrace/contracts';
import type { Deadline, SequenceEvent } from '../vocabulary.js';
import { EVENTS_PER_TURN } from './replay.js';

/** What a run's answer comes from. */
export interface RunSource {
  readonly events: AsyncIterable<SequenceEvent>;
  /** `computed`: somebody has to pay for it. `kept`: it was kept for a question that means the same. */
  readonly kind: 'computed' | 'kept';
  /** To be asked once the first event is there. */
  answeredBy(): ModelDescription;
}

/** One of those who read a run's answer, and what it wants to be told. Whatever it does with that must not throw. */
export interface RunReader {
  readonly deadline: Deadline;
  /** It has joined a run that was begun for another. */
  joins(): void;
  /** Before its first event. `led`: the run was begun for it. */
  begins(source: RunSource, led: boolean): void;
  /** Once, if it has read anything: whether what was computed counts as computed for it. Of all readers of a run one at most pays. */
  settled(pays: boolean): void;
}

export interface RunOptions {
  /** Called with the run's own deadline, which no reader's ends. */
  readonly open: (deadline: Deadline) => Promise<RunSource>;
  /** How long it may take at all: the worker is told so. */
  readonly timeoutMs: number;
  readonly room: EventRoom;
  /** The answer is there, and all of it is in `events`. The run can still be joined until that resolves; it must not reject. */
  readonly onWhole: (source: RunSource, events: readonly SequenceEvent[]) => Promise<void>;
  /** The answer is too long to be held (`too_large`), or there are too many of them (`busy`). */
  readonly onOutgrown: (source: RunSource, reason: 'too_large' | 'busy') => void;
  /** Nobody can join any more. */
  readonly onOver: () => void;
}

/** Bounds what runs hold: each by itself, and all together. */
export interface EventRoom {
  readonly runBytesMax: number;
  /** False: there is no room. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** Once an answer can not be held whole: how far the slowest reader may be behind the fastest. */
const WINDOW_BYTES_MAX = 64 * 1024;

interface Reading {
  readonly reader: RunReader;
  /** How many events of the answer it has had. */
  at: number;
  /** Ends its wait. */
  wake: (() => void) | undefined;
}

/**
 * One answer, computed once and read by several, each at its own pace. Events are pulled when the fastest reader wants one, so that nothing
 * is computed that nobody waits for.
 *
 * They are held until the end: whoever comes late reads from the beginning, and the whole is then kept. An answer that outgrows its room is
 * not kept, and nobody more can join it; from there on only what the slowest has not read is held, and the fastest wait for it. So the
 * readers that it has get it whole, and a client that has stalled holds up the others until it is dropped for that.
 *
 * Ownership: the run owns its source, and ends it when its last reader has left. A reader that leaves takes nothing from the others.
 * Concurrency: everything but the source's own work happens between two awaits; whoever waits is woken and looks again.
 */
export class SharedRun {
  readonly #options: RunOptions;
  readonly #readings = new Set<Reading>();
  readonly #ending = new AbortController();
  readonly #endsMs: number;
  #source: RunSource | undefined;
  #iterator: AsyncIterator<SequenceEvent> | undefined;
  #events: SequenceEvent[] = [];
  /** Of the answer's events, those that are held no more. */
  #dropped = 0;
  #heldBytes = 0;
  /** What `room` has to get back. */
  #takenBytes = 0;
  #whole = true;
  #pulling = false;
  #wanted = false;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #paid = false;
  #over = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#endsMs = performance.now() + options.timeoutMs;
  }

  /** Whether its beginning is still held, and whoever has so much time can read it to its end. */
  joinableFor({ remainingMs }: Pick<Deadline, 'remainingMs'>): boolean {
    return !this.#over && this.#whole && (this.#ended || this.#remainingMs() >= remainingMs());
  }

  /**
   * The answer from its beginning. Throws what `reader`'s signal was aborted with, or what the run failed with; `hasBegun` tells whether
   * anything had come of it by then.
   */
  async *read(reader: RunReader, led: boolean): AsyncGenerator<SequenceEvent> {
    const reading: Reading = { reader, at: 0, wake: undefined };
    const { signal } = reader.deadline;
    const leave = () => reading.wake?.();
    this.#readings.add(reading);
    signal.addEventListener('abort', leave, { once: true });
    let completed = false;
    try {
      for (let unwaited = 1; ; unwaited++) {
        signal.throwIfAborted();
        const event = this.#events[reading.at - this.#dropped];
        if (event !== undefined) {
          if (reading.at === 0) reader.begins(this.#source!, led);
          reading.at++;
          if (this.#wanted) this.#pull();
          yield event;
          if (unwaited % EVENTS_PER_TURN === 0) await nextTurn();
        } else if (this.#failure !== undefined) {
          completed = true;
          throw this.#failure.error;
        } else if (this.#ended) {
          completed = true;
          return;
        } else {
          unwaited = 0;
          const woken = new Promise<void>((resolve) => {
            reading.wake = resolve;
          });
          this.#pull();
          await woken;
        }
      }
    } finally {
      signal.removeEventListener('abort', leave);
      this.#leave(reading, completed);
    }
  }

  /** Whoever has the whole answer first pays for it. Who left before does not, while somebody stays who will. */
  #leave(reading: Reading, completed: boolean): void {
    this.#readings.delete(reading);
    const last = this.#readings.size === 0;
    const pays = this.#source?.kind === 'computed' && !this.#paid && (completed || last);
    this.#paid ||= pays;
    if (reading.at > 0) reading.reader.settled(pays);
    if (!last) {
      if (this.#wanted) this.#pull(); // It may have been the slowest.
    } else if (!this.#ended && this.#failure === undefined) this.#abandon(reading.reader.deadline.signal.reason);
  }

  #abandon(reason: unknown): void {
    this.#finish();
    this.#ending.abort(reason);
    void this.#iterator?.return?.().then(undefined, () => {});
  }

  #pull(): void {
    if (this.#pulling || this.#ended || this.#failure !== undefined || this.#over) return;
    if (!this.#whole) this.#dropRead();
    this.#wanted = !this.#whole && this.#heldBytes > WINDOW_BYTES_MAX;
    if (this.#wanted) return;
    this.#pulling = true;
    void this.#next().then(
      (event) => this.#pulled(() => (event === undefined ? this.#end() : this.#hold(event))),
      (error: unknown) => this.#pulled(() => this.#fail(error)),
    );
  }

  /** Nobody hears of it any more where the last reader has left meanwhile. */
  #pulled(change: () => void): void {
    this.#pulling = false;
    if (this.#over) return;
    change();
    for (const reading of this.#readings) {
      const { wake } = reading;
      reading.wake = undefined;
      wake?.();
    }
  }

  async #next(): Promise<SequenceEvent | undefined> {
    if (this.#iterator === undefined) {
      const { signal } = this.#ending;
      this.#source = await this.#options.open({ signal, remainingMs: () => this.#remainingMs() });
      this.#iterator = this.#source.events[Symbol.asyncIterator]();
      // Nobody ended what was not open yet.
      signal.throwIfAborted();
    }
    const { done, value } = await this.#iterator.next();
    return done ? undefined : value;
  }

  #hold(event: SequenceEvent): void {
    const bytes = bytesOf(event);
    const { room } = this.#options;
    this.#events.push(event);
    this.#heldBytes += bytes;
    if (!this.#whole) return;
    if (this.#heldBytes > room.runBytesMax) this.#outgrow('too_large');
    else if (room.take(bytes)) this.#takenBytes += bytes;
    else this.#outgrow('busy');
  }

  /** Nobody more can join, and it will not be kept. */
  #outgrow(reason: 'too_large' | 'busy'): void {
    this.#whole = false;
    this.#options.onOutgrown(this.#source!, reason);
    this.#options.onOver();
  }

  #dropRead(): void {
    let slowest = Number.POSITIVE_INFINITY;
    for (const { at } of this.#readings) slowest = Math.min(slowest, at);
    const read = this.#events.splice(0, Math.min(this.#events.length, slowest - this.#dropped));
    this.#dropped += read.length;
    for (const event of read) this.#heldBytes -= bytesOf(event);
  }

  #end(): void {
    this.#ended = true;
    const kept = this.#whole ? this.#options.onWhole(this.#source!, this.#events) : Promise.resolve();
    // It is found here until it can be found in the cache.
    void kept.then(() => this.#finish());
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.room.give(this.#takenBytes);
    this.#options.onOver();
  }

  #remainingMs(): number {
    return Math.max(0, Math.ceil(this.#endsMs - performance.now()));
  }
}

const EVENT_BYTES = 160;
const CHANCE_BYTES = 120;

/** What an event takes in memory, roughly, and rather more than less. */
export function bytesOf(event: SequenceEvent): number {
  if (event.kind !== 'tokens' && event.kind !== 'echo') return EVENT_BYTES;
  const logprobs = event.logprobs?.reduce((sum, { top }) => sum + CHANCE_BYTES * (1 + top.length), 0) ?? 0;
  const text = EVENT_BYTES + 2 * event.text.length + logprobs;
  if (event.kind === 'echo') return text;
  const { tokens, reasoning = '', calls = [], citations = [] } = event;
  const called = calls.reduce((sum, call) => sum + EVENT_BYTES + 2 * call.arguments.length, 0);
  return text + 8 * tokens.length + 2 * reasoning.length + called + EVENT_BYTES * citations.length;
}
