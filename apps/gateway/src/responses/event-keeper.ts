import { setTimeout as sleep } from 'node:timers/promises';
import { InferenceError, type ResponseEvent } from '@millrace/contracts';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { errorEvent } from './error-event.js';
import { eventJson } from './event-json.js';
import type { BegunRun, ResponseRuns } from './response-runs.js';

/** Between two writes: readers elsewhere look for events no more often. */
const PAUSE_MS = 100;
/** While the database is away. */
const RETRY_MS = 500;
/** Events that may wait to be kept; then whoever makes them waits. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** Another has begun it, or it was ended. */
export class RunLost extends Error {
  override readonly name = 'RunLost';
}

/** Nothing more of this attempt is kept. What is an `InferenceError` is told, as any failure of an answer, behind what came before it. */
export function isOver(signal: AbortSignal): boolean {
  return signal.aborted && !(signal.reason instanceof InferenceError);
}

/**
 * Keeps the events of a run, in their order: what comes while some are being written is written next, in one piece. Where they are more than
 * are kept, the next of them is an error that says so, and the last: the response goes on to its end without them.
 *
 * Concurrency: one write at a time. A database that is away is waited for, until `signal` aborts.
 */
export class EventKeeper {
  #waiting: ResponseEvent[] = [];
  #waitingBytes = 0;
  #bytes = 0;
  #isFull = false;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  readonly #stopping = new AbortController();

  constructor(
    private readonly runs: Pick<ResponseRuns, 'keepEvents' | 'eventsBytesMax'>,
    private readonly run: BegunRun,
    private readonly kept: () => void,
    private readonly signal: AbortSignal,
  ) {}

  /** No more of them are kept, nor of those that come with the end. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** @throws RunLost, what `signal` was aborted with, or what the database threw: of these events, or of those before. */
  async add(events: readonly ResponseEvent[]): Promise<void> {
    for (const event of events) this.#note(event);
    this.#writing ??= this.#write();
    while (this.#waitingBytes > WAITING_BYTES_MAX && this.#failure === undefined) await this.#writing;
    this.#check();
  }

  /** Nothing is written any more. @returns what was not kept yet: that is kept with the end. @throws as `add` */
  async rest(): Promise<readonly ResponseEvent[]> {
    this.#stopping.abort();
    await this.#writing;
    this.#check();
    return this.#waiting;
  }

  #note(event: ResponseEvent): void {
    if (this.#isFull) return;
    const bytes = Buffer.byteLength(eventJson(event));
    this.#isFull = this.#bytes + bytes > this.runs.eventsBytesMax;
    this.#waiting.push(this.#isFull ? tooMany(event, this.runs.eventsBytesMax) : event);
    this.#waitingBytes += bytes;
    this.#bytes += bytes;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
        const batch = this.#waiting;
        this.#waiting = [];
        this.#waitingBytes = 0;
        if (!(await this.#keep(batch))) throw new RunLost('Another has begun this response, or it was ended.');
        this.kept();
        await sleep(PAUSE_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
        if (isOver(this.signal)) throw this.signal.reason;
      }
    } catch (error) {
      this.#failure = this.signal.aborted ? this.signal.reason : error;
    } finally {
      this.#writing = undefined;
    }
  }

  async #keep(batch: readonly ResponseEvent[]): Promise<boolean> {
    for (;;) {
      try {
        return await this.runs.keepEvents(this.run, batch);
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable)) throw error;
        await sleep(RETRY_MS, undefined, { signal: this.signal });
      }
    }
  }
}

/** In the place of the first that is not kept. */
function tooMany({ sequence_number }: ResponseEvent, bytesMax: number): ResponseEvent {
  const thrown = new InferenceError(
    'response_too_large',
    `The events of the response have more than ${bytesMax.toLocaleString('en')} bytes, which is as many as are kept of one, so its stream ends here. The response goes on: GET /v1/responses/{id} has all of it once it has ended.`,
  );
  return errorEvent(thrown, sequence_number);
}
