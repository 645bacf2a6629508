import { type AnswerEvent, InferenceError } from '@millrace/contracts';

/** What an inbox asks of the connection that fills it. */
export interface SequenceControls {
  /** The consumer has read so many tokens more. */
  read(tokens: number): void;
  /** Nobody waits for the rest. Called at most once, and not after the sequence was settled. */
  cancel(): void;
}

type Begun = Extract<AnswerEvent, { kind: 'begun' }>;
type Finished = Extract<AnswerEvent, { kind: 'finished' }>;
type Next = IteratorResult<AnswerEvent, undefined>;
interface Reader {
  resolve(next: Next): void;
  reject(error: unknown): void;
}

const END: Next = { done: true, value: undefined };

/**
 * One sequence between the connection that all share and the one consumer that reads it.
 *
 * Tokens that nobody has asked for yet are merged into one event, so a slow reader costs one string and no queue of
 * promises, and a fast one gets what arrived in one frame as one event.
 *
 * Ownership: the connection writes (`begin`, `add`, `finish`, `fail`) until the sequence is settled; the consumer reads.
 * Concurrency: one `next` at a time, as `for await` does. Nothing here awaits.
 */
export class SequenceInbox implements AsyncIterableIterator<AnswerEvent, undefined> {
  #begun: Begun | undefined;
  #hasBegun = false;
  #tokens: number[] = [];
  #text = '';
  #finished: AnswerEvent | undefined;
  #failure: { readonly error: unknown } | undefined;
  #settled = false;
  #ended = false;
  #reader: Reader | undefined;
  readonly #onAbort = () => this.#abandon(this.signal.reason);

  constructor(
    private readonly controls: SequenceControls,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', this.#onAbort, { once: true });
    // Not at once: `cancel` must not be called before whoever constructs this has sent what there is to cancel.
    if (signal.aborted) queueMicrotask(this.#onAbort);
  }

  // ------------------------------------------------------------------------------------------- the connection's side

  begin(event: Begun): void {
    this.#hasBegun = true;
    this.#begun = event;
  }

  add(tokens: readonly number[], text: string): void {
    if (this.#tokens.length === 0) this.#tokens = tokens as number[];
    else this.#tokens = [...this.#tokens, ...tokens];
    this.#text += text;
  }

  finish(event: Finished): void {
    const { promptTokens, cachedTokens } = event.usage;
    // An answer that ends with its first token need not have begun; its reader relies on it all the same.
    if (!this.#hasBegun) this.begin({ kind: 'begun', promptTokens, cachedTokens, waitedMs: 0 });
    this.#settle();
    this.#finished = event;
  }

  fail(error: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#failure = { error };
  }

  /** Hands over to a reader that waits. Apart from the writes above, since one frame may bring several of them. */
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

  // --------------------------------------------------------------------------------------------- the consumer's side

  async next(): Promise<Next> {
    const next = this.#take();
    if (next !== undefined) return next;
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  async return(): Promise<Next> {
    this.#abandon(undefined);
    this.#ended = true;
    return END;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The oldest event that is there; undefined if none is. Throws the failure once everything before it was read. */
  #take(): Next | undefined {
    if (this.#ended) return END;
    if (this.#begun) {
      const value = this.#begun;
      this.#begun = undefined;
      return { done: false, value };
    }
    if (this.#tokens.length > 0 || this.#text !== '') return { done: false, value: this.#takeTokens() };
    if (this.#finished) {
      const value = this.#finished;
      this.#finished = undefined;
      this.#ended = true;
      return { done: false, value };
    }
    if (this.#failure) {
      this.#ended = true;
      throw this.#failure.error;
    }
    return undefined;
  }

  #takeTokens(): AnswerEvent {
    const event: AnswerEvent = { kind: 'tokens', tokens: this.#tokens, text: this.#text };
    this.#tokens = [];
    this.#text = '';
    if (!this.#settled) this.controls.read(event.tokens.length);
    return event;
  }

  /** The signal aborted, or the consumer left. What was not read yet is of no use to anybody. */
  #abandon(error: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#begun = undefined;
    this.#tokens = [];
    this.#text = '';
    this.#failure = { error: error ?? new InferenceError('client_closed_request', 'The answer is no longer wanted.') };
    this.controls.cancel();
    this.deliver();
  }

  #settle(): void {
    this.#settled = true;
    this.signal.removeEventListener('abort', this.#onAbort);
  }
}
