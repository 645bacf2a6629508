import type { AnswerEvent, TokenLogprob } from '@millrace/contracts';

export interface AnswerReader {
  /** The reader has taken everything there was. */
  readonly onRead: () => void;
  /** The reader wants no more. */
  readonly onReturn: () => void;
}

type Result = IteratorResult<AnswerEvent, undefined>;
type Ending = { readonly event: AnswerEvent } | { readonly error: unknown };

const DONE: Result = { done: true, value: undefined };

/**
 * What a sequence has to say and nobody has read yet. Tokens that pile up become one event, so a reader that was slow
 * catches up in one read.
 *
 * Ownership: the sequence writes, one reader reads. Written by hand rather than as an async generator: `return()` of a
 * generator waits until a pending `next()` is answered, and a reader that leaves must free its place at once.
 */
export class AnswerBuffer implements AsyncIterableIterator<AnswerEvent, undefined> {
  #begun: AnswerEvent | undefined;
  #echo: { text: string; logprobs: TokenLogprob[] } | undefined;
  #tokens: number[] = [];
  #text = '';
  #logprobs: TokenLogprob[] | undefined;
  #ending: Ending | undefined;
  #finished = false;
  #pending: { resolve(result: Result): void; reject(error: unknown): void } | undefined;

  constructor(private readonly reader: AnswerReader) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Tokens of the answer, and those of the prompt that come with something to tell. */
  get unreadTokens(): number {
    return this.#tokens.length + (this.#echo?.logprobs.length ?? 0);
  }

  begin(begun: Extract<AnswerEvent, { kind: 'begun' }>): void {
    this.#begun = begun;
    this.#deliver();
  }

  addEcho(text: string, logprobs: readonly TokenLogprob[]): void {
    this.#echo ??= { text: '', logprobs: [] };
    this.#echo.text += text;
    for (const logprob of logprobs) this.#echo.logprobs.push(logprob);
    this.#deliver();
  }

  addToken(token: number, text: string, logprobs: readonly TokenLogprob[]): void {
    this.#tokens.push(token);
    this.#addText(text, logprobs);
    this.#deliver();
  }

  /** What is let out without a token of its own. */
  addText(text: string, logprobs: readonly TokenLogprob[]): void {
    if (text === '' && logprobs.length === 0) return;
    this.#addText(text, logprobs);
    this.#deliver();
  }

  #addText(text: string, logprobs: readonly TokenLogprob[]): void {
    this.#text += text;
    if (logprobs.length === 0) return;
    this.#logprobs ??= [];
    for (const logprob of logprobs) this.#logprobs.push(logprob);
  }

  /** What was added before is still read, and then the ending. */
  end(ending: Ending): void {
    this.#ending ??= ending;
    this.#deliver();
  }

  /** The reader gets `error` at its next read, and nothing of what is unread. */
  abort(error: unknown): void {
    this.#forget();
    this.#ending = { error };
    this.#deliver();
  }

  next(): Promise<Result> {
    if (this.#pending !== undefined) return Promise.reject(new Error('An answer has one reader, which reads in turn.'));
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#finished) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#deliver();
    });
  }

  return(): Promise<Result> {
    this.#forget();
    this.#finished = true;
    this.#pending?.resolve(DONE);
    this.#pending = undefined;
    this.reader.onReturn();
    return Promise.resolve(DONE);
  }

  #deliver(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const event = this.#take();
    if (event !== undefined) {
      this.#pending = undefined;
      pending.resolve({ done: false, value: event });
    } else if (this.#ending !== undefined && 'error' in this.#ending) {
      this.#pending = undefined;
      this.#finished = true;
      const { error } = this.#ending;
      this.#ending = undefined;
      pending.reject(error);
    }
  }

  #take(): AnswerEvent | undefined {
    if (this.#begun !== undefined) {
      const begun = this.#begun;
      this.#begun = undefined;
      return begun;
    }
    if (this.#echo !== undefined) return this.#takeEcho();
    if (this.#tokens.length > 0 || this.#text !== '' || this.#logprobs !== undefined) return this.#takeTokens();
    if (this.#ending !== undefined && 'event' in this.#ending) {
      const { event } = this.#ending;
      this.#ending = undefined;
      this.#finished = true;
      return event;
    }
    return undefined;
  }

  #takeEcho(): AnswerEvent {
    const event = { kind: 'echo', ...this.#echo! } as const;
    this.#echo = undefined;
    this.reader.onRead();
    return event;
  }

  #takeTokens(): AnswerEvent {
    const event = { kind: 'tokens', tokens: this.#tokens, text: this.#text, logprobs: this.#logprobs } as const;
    this.#tokens = [];
    this.#text = '';
    this.#logprobs = undefined;
    this.reader.onRead();
    return event;
  }

  #forget(): void {
    this.#begun = undefined;
    this.#echo = undefined;
    this.#tokens = [];
    this.#text = '';
    this.#logprobs = undefined;
    this.#ending = undefined;
  }
}
