import type { AnswerEvent } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';
import type { ContentCheck } from './content-check.js';

type Next = IteratorResult<SequenceEvent, undefined>;
type Read = IteratorResult<AnswerEvent, unknown>;

/** One sequence: where its events come from, and what its consumer is promised of them. */
export interface AnswerStream {
  readonly index: number;
  readonly events: AsyncIterator<AnswerEvent>;
  readonly check: ContentCheck;
}

/** A stream, and what was read of it and not taken yet. */
interface Source extends AnswerStream {
  reading: Promise<void> | undefined;
  read: Read | undefined;
  ended: boolean;
}

const END: Next = { done: true, value: undefined };

/**
 * Several answers that each come by a connection of their own, as one stream: an event of one, then of the next that has any.
 * It ends when all have; when one fails, the others are left.
 *
 * Nothing is read before somebody asks, and then at most one event ahead of each sequence: a consumer that does not ask
 * pauses all of them, where they come from.
 *
 * Ownership: owns the iterators, and returns each that did not end by itself. `onEnd` is called once, whichever way it ends;
 * aborting `signal` is one.
 * Concurrency: one `next` at a time, as `for await` does; `return` may come in between.
 */
export class AnswersInTurn implements AsyncIterableIterator<SequenceEvent, undefined> {
  readonly #sources: readonly Source[];
  #turn = 0;
  #running: number;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #left = false;
  // At once, and not only when the next event is asked for: where they come from, they cost something.
  readonly #onAbort = (): void => this.#fail(this.signal.reason);

  constructor(
    streams: readonly AnswerStream[],
    private readonly signal: AbortSignal,
    private readonly onEnd: () => unknown,
  ) {
    signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#sources = streams.map((stream) => ({ ...stream, reading: undefined, read: undefined, ended: false }));
    this.#running = streams.length;
    for (const source of this.#sources) this.#readOn(source); // It begins at once, whoever reads it when.
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Next> {
    while (this.#running > 0) {
      const event = this.#take();
      if (event !== undefined) return { done: false, value: event };
      if (this.#running === 0) break;
      for (const source of this.#sources) this.#readOn(source);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const failure = this.#failure;
    this.#failure = undefined; // Said once.
    if (failure !== undefined) throw failure.error;
    return END;
  }

  async return(): Promise<Next> {
    this.#leave();
    return END;
  }

  /** The next event that was read; undefined when none was, or when everything has ended. */
  #take(): SequenceEvent | undefined {
    const { length } = this.#sources;
    for (let looked = 0; looked < length; looked++) {
      const source = this.#sources[this.#turn]!;
      this.#turn = this.#turn + 1 === length ? 0 : this.#turn + 1;
      const { read } = source;
      if (read === undefined) continue;
      source.read = undefined;
      try {
        const event = this.#checked(source, read);
        if (event !== undefined) return event;
      } catch (error) {
        this.#fail(error);
        return undefined;
      }
    }
    return undefined;
  }

  #checked(source: Source, read: Read): SequenceEvent | undefined {
    const { index, check } = source;
    if (read.done) {
      this.#endOf(source);
      return undefined;
    }
    const event = read.value;
    if (event.kind === 'tokens') return { kind: 'tokens', ...check.admit(event), index };
    if (event.kind === 'echo') check.admitEcho(event.text, event.logprobs.length);
    return { ...event, index };
  }

  #readOn(source: Source): void {
    if (source.ended || source.read !== undefined || source.reading !== undefined) return;
    source.reading = source.events.next().then(
      (read) => {
        source.reading = undefined;
        source.read = read;
        this.#wake?.();
      },
      (error: unknown) => {
        source.reading = undefined;
        source.ended = true;
        this.#fail(error);
      },
    );
  }

  #endOf(source: Source): void {
    if (source.ended) return;
    source.ended = true;
    if (--this.#running === 0) this.#end();
  }

  #fail(error: unknown): void {
    if (this.#running === 0) return;
    this.#failure = { error };
    this.#leave();
  }

  #leave(): void {
    if (this.#running === 0) return;
    this.#running = 0;
    for (const source of this.#sources) {
      if (source.ended) continue;
      source.ended = true;
      void source.events.return?.(undefined).catch(() => undefined);
    }
    this.#end();
  }

  #end(): void {
    if (this.#left) return;
    this.#left = true;
    this.signal.removeEventListener('abort', this.#onAbort);
    this.onEnd();
    this.#wake?.();
  }
}
