import { InferenceError } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';
import type { SequenceInbox } from './sequence-inbox.js';

type Next = IteratorResult<SequenceEvent, undefined>;
interface Reader {
  resolve(next: Next): void;
  reject(error: unknown): void;
}

const END: Next = { done: true, value: undefined };

/**
 * The sequences of one request, as the one consumer reads them: an event of one, then of the next that has any, so that a
 * fast one does not keep the others from being read. It ends when all have ended; when one fails, the others are cancelled.
 *
 * Ownership: the connection writes to the sequences and calls `deliver` after; the consumer reads.
 * Concurrency: one `next` at a time, as `for await` does. Nothing here awaits.
 */
export class AnswerInbox implements AsyncIterableIterator<SequenceEvent, undefined> {
  #turn = 0;
  #running: number;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #reader: Reader | undefined;
  readonly #onAbort = () => this.#abandon(this.signal.reason);

  constructor(
    private readonly sequences: readonly SequenceInbox[],
    private readonly signal: AbortSignal,
  ) {
    this.#running = sequences.length;
    signal.addEventListener('abort', this.#onAbort, { once: true });
    // Not at once: nothing must be cancelled before whoever constructs this has sent what there is to cancel.
    if (signal.aborted) queueMicrotask(this.#onAbort);
  }

  /** Hands over to a reader that waits. Apart from the writes, since one frame may bring several of them. */
  deliver(): void {
    if (this.#reader === undefined) return;
    const reader = this.#reader;
    try {
      const next = this.#take();
      if (next === undefined) return;
      this.#reader = undefined;
      reader.resolve(next);
    } catch (error) {
      this.#reader = undefined;
      reader.reject(error);
    }
  }

  async next(): Promise<Next> {
    const next = this.#take();
    if (next !== undefined) return next;
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  async return(): Promise<Next> {
    this.#abandon(undefined);
    this.#end();
    return END;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event that is there; undefined if none is. */
  #take(): Next | undefined {
    if (this.#ended) return END;
    if (this.#failure) throw this.#endWith(this.#failure.error);
    try {
      const value = this.#takeInTurn();
      return value === undefined ? undefined : { done: false, value };
    } catch (error) {
      throw this.#endWith(error);
    }
  }

  #takeInTurn(): SequenceEvent | undefined {
    const { length } = this.sequences;
    for (let looked = 0; looked < length; looked++) {
      const sequence = this.sequences[this.#turn]!;
      this.#turn = this.#turn + 1 === length ? 0 : this.#turn + 1;
      const event = sequence.take();
      if (event === undefined) continue;
      if (sequence.ended && --this.#running === 0) this.#end();
      return event;
    }
    return undefined;
  }

  #endWith(error: unknown): unknown {
    this.#end();
    for (const sequence of this.sequences) sequence.abandon();
    return error;
  }

  /** The signal aborted, or the consumer left. */
  #abandon(error: unknown): void {
    // What the worker has finished is still worth reading, if its reader is there.
    if (this.#ended || this.#failure || this.sequences.every(({ settled }) => settled)) return;
    this.#failure = { error: error ?? new InferenceError('client_closed_request', 'The answer is no longer wanted.') };
    for (const sequence of this.sequences) sequence.abandon();
    this.deliver();
  }

  #end(): void {
    this.#ended = true;
    this.signal.removeEventListener('abort', this.#onAbort);
  }
}
