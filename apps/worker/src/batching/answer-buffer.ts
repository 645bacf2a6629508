import type { AnswerEvent, CallDelta, Citation, TokenLogprob } from '@millrace/contracts';
import type { LetOut } from './answer-text.js';

export interface AnswerReader {
  /** The reader has taken everything there was. */
  readonly onRead: () => void;
  /** The reader wants no more. */
  readonly onReturn: () => void;
}

interface UnreadContent {
  text: string;
  reasoning: string;
  readonly calls: CallDelta[];
  readonly citations: Citation[];
  readonly logprobs: TokenLogprob[];
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
  #content: UnreadContent | undefined;
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

  addToken(token: number, content: LetOut): void {
    this.#tokens.push(token);
    this.#addContent(content);
    this.#deliver();
  }

  /** What is let out without a token of its own. */
  addContent(content: LetOut): void {
    this.#addContent(content);
    if (this.#content !== undefined) this.#deliver();
  }

  #addContent({ text, reasoning, calls, citations, logprobs }: LetOut): void {
    if (text === '' && logprobs.length === 0 && !reasoning && !calls?.length && !citations?.length) return;
    this.#content ??= { text: '', reasoning: '', calls: [], citations: [], logprobs: [] };
    const unread = this.#content;
    unread.text += text;
    if (reasoning) unread.reasoning += reasoning;
    for (const call of calls ?? []) addCall(unread.calls, call);
    for (const citation of citations ?? []) unread.citations.push(citation);
    for (const logprob of logprobs) unread.logprobs.push(logprob);
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
    if (this.#tokens.length > 0 || this.#content !== undefined) return this.#takeTokens();
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
    const { text = '', reasoning = '', calls = [], citations = [], logprobs = [] } = this.#content ?? {};
    const event = {
      kind: 'tokens',
      tokens: this.#tokens,
      text,
      ...(reasoning !== '' && { reasoning }),
      ...(calls.length > 0 && { calls }),
      ...(citations.length > 0 && { citations }),
      logprobs: logprobs.length > 0 ? logprobs : undefined,
    } as const;
    this.#tokens = [];
    this.#content = undefined;
    this.reader.onRead();
    return event;
  }

  #forget(): void {
    this.#begun = undefined;
    this.#echo = undefined;
    this.#tokens = [];
    this.#content = undefined;
    this.#ending = undefined;
  }
}

/** Pieces of one call become one piece. */
function addCall(calls: CallDelta[], call: CallDelta): void {
  const last = calls.at(-1);
  if (last?.index !== call.index || call.name !== undefined) calls.push(call);
  else calls[calls.length - 1] = { ...last, arguments: last.arguments + call.arguments };
}
