import {
  type AnswerEvent,
  type CallDelta,
  type Citation,
  type CitationSource,
  InferenceError,
  type TokenChance as LogprobChance,
  type TokenLogprob as LogprobEvent,
} from '@millrace/contracts';
import type {
  CallDelta as CallMessage,
  Citation as CitationMessage,
  SequenceUpdate,
  Settled,
  TokenLogprob,
} from '@millrace/contracts/protocol';
import type { AnswerTrace } from './answer-trace.js';
import { failureOf } from './failure-message.js';
import type { StepWriter } from './step-writer.js';

/** What a sequence is served with. */
export interface SequenceTerms {
  readonly sequenceId: number;
  /** Whose answer it is. */
  readonly requestId: string;
  readonly attempt: number;
  readonly creditTokens: number;
  /** Tokens of the answer that another attempt has delivered. */
  readonly resumedTokens: number;
}

/** How a sequence ended, for the log. */
export interface SequenceEnding {
  readonly settled: Settled;
  /** Only with the reason "failed". */
  readonly error: unknown;
}

class Cancelled extends Error {}

/** Characters of an echo that go into one update: a prompt may have millions, and a frame has a limit. */
const ECHO_CHARACTERS_MAX = 65_536;

/** From so many on, the text of one event counts toward the size of a frame. */
const LONG_TEXT_CHARACTERS = 256;

/** Of an answer without log-probabilities; shared, and never changed. */
const NO_LOGPROBS: TokenLogprob[] = [];
/** Of an answer without them; shared, and never changed. */
const NO_CALLS: CallMessage[] = [];
const NO_CITATIONS: CitationMessage[] = [];

type Echoed = Extract<AnswerEvent, { kind: 'echo' }>;
type Tokens = Extract<AnswerEvent, { kind: 'tokens' }>;

/**
 * One sequence between the engine and a gateway: credit one way, updates the other.
 *
 * Without credit it reads no further, and the engine pauses the sequence a few tokens later, when what is unread has
 * reached the engine's bound. The end of an answer needs no credit: it is no token. Nor does the text of an echo; its
 * log-probabilities take one for every token, since they are far larger than a token.
 *
 * Ownership: reads the answer, and is the only one that does. Ends in exactly one Settled, unless the stream is lost.
 */
export class ServedSequence {
  readonly #leaving = new AbortController();
  #credit: number;
  /** Ends the wait for credit, if it waits. */
  #wake: (() => void) | undefined;
  #update: SequenceUpdate | undefined;
  /** The frame that `#update` goes out with. */
  #updateFrame = -1;
  #begun = false;
  #promptTokens = 0;
  #cachedTokens = 0;
  #completionTokens: number;

  constructor(
    private readonly terms: SequenceTerms,
    private readonly writer: StepWriter,
    private readonly stallTimeoutMs: number,
    private readonly trace?: AnswerTrace,
  ) {
    this.#credit = terms.creditTokens;
    this.#completionTokens = terms.resumedTokens;
  }

  /** Aborts when nobody wants the sequence any more. */
  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  get requestId(): string {
    return this.terms.requestId;
  }

  /** Its prompt was read, and the first token chosen. */
  get begun(): boolean {
    return this.#begun;
  }

  addCredit(tokens: number): void {
    this.#credit += tokens;
    this.#wake?.();
  }

  /** The gateway wants no more of it. */
  cancel(): void {
    this.#leave(new Cancelled());
  }

  /** The worker gives it up. */
  giveUp(error: InferenceError): void {
    this.#leave(error);
  }

  #leave(reason: Error): void {
    this.#leaving.abort(reason);
    this.#wake?.();
  }

  /** From the first event of `answer` to Settled. Never rejects. */
  async serve(answer: AsyncIterable<AnswerEvent>): Promise<SequenceEnding> {
    try {
      for await (const event of answer) {
        if (event.kind === 'finished') return this.#settle(settledWith(event));
        if (event.kind === 'begun') this.#begin(event);
        else if (event.kind === 'echo') await this.#echo(event);
        else if (this.#maySend(event)) this.#send(event.tokens, event.unnumbered ?? 0, event);
        else await this.#sendInParts(event);
      }
      throw new Error('The engine ended an answer without saying how.');
    } catch (error) {
      return this.#settle(error instanceof Cancelled ? this.#settledAs('cancelled') : this.#failed(error), error);
    }
  }

  #begin(event: Extract<AnswerEvent, { kind: 'begun' }>): void {
    const { promptTokens, cachedTokens, waitedMs } = event;
    this.#begun = true;
    this.trace?.begins(waitedMs);
    this.#promptTokens = promptTokens;
    this.#cachedTokens = cachedTokens;
    this.#pending().begun = { promptTokens, cachedTokens, waitedMs };
  }

  #maySend({ tokens, unnumbered = 0 }: Tokens): boolean {
    return this.#credit >= tokens.length + unnumbered && !this.writer.blocked;
  }

  /** @param content of which nothing is sent but what it has brought; undefined when it comes with a later part. */
  #send(tokens: readonly number[], unnumbered: number, content: Tokens | undefined): void {
    const update = this.#pending();
    for (const token of tokens) update.tokenIds.push(token);
    update.unnumberedTokens += unnumbered;
    this.#credit -= tokens.length + unnumbered;
    this.#completionTokens += tokens.length + unnumbered;
    if (content !== undefined) this.#sendContent(update, content);
  }

  #sendContent(update: SequenceUpdate, { text, reasoning, calls, citations, logprobs }: Tokens): void {
    update.text += text;
    if (reasoning) update.reasoning += reasoning;
    if (calls?.length) update.calls = [...update.calls, ...calls.map(callMessage)];
    if (citations?.length) update.citations = [...update.citations, ...citations.map(citationMessage)];
    if (logprobs !== undefined) this.#sendLogprobs(logprobs);
    const characters = text.length + (reasoning?.length ?? 0) + sum(calls?.map((call) => call.arguments.length));
    // Of a token it is a few; a server that runs the model may send any number at once.
    if (characters > LONG_TEXT_CHARACTERS) this.writer.grew(characters * 3);
  }

  /** Into the update of each moment: a frame that has grown large goes out in the middle of this. */
  #sendLogprobs(logprobs: readonly LogprobEvent[]): void {
    for (const logprob of logprobs) {
      const update = this.#pending();
      if (update.logprobs === NO_LOGPROBS) update.logprobs = [];
      update.logprobs.push(logprobMessage(logprob));
      this.writer.grew(logprobBytes(logprob));
    }
  }

  /**
   * The rare case. Content and log-probabilities go with the last part, since tokens may run ahead of their text but not
   * behind it.
   */
  async #sendInParts(event: Tokens): Promise<void> {
    let rest = event.tokens;
    let unnumbered = event.unnumbered ?? 0;
    do {
      await this.#mayGoOn(rest.length + unnumbered > 0);
      const part = rest.slice(0, this.#credit);
      const more = Math.min(unnumbered, this.#credit - part.length);
      rest = rest.slice(part.length);
      unnumbered -= more;
      this.#send(part, more, rest.length + unnumbered === 0 ? event : undefined);
    } while (rest.length + unnumbered > 0);
  }

  /** Text and log-probabilities need not go together: a gateway joins what it is told of the prompt. */
  async #echo({ text, logprobs }: Echoed): Promise<void> {
    for (const piece of inPieces(text)) {
      await this.#mayGoOn(false);
      this.#pendingEcho().text += piece;
      this.writer.grew(piece.length * 3);
    }
    let rest = logprobs;
    while (rest.length > 0) {
      await this.#mayGoOn(true);
      const part = rest.slice(0, this.#credit);
      rest = rest.slice(part.length);
      this.#credit -= part.length;
      for (const logprob of part) {
        this.#pendingEcho().logprobs.push(logprobMessage(logprob));
        this.writer.grew(logprobBytes(logprob));
      }
    }
  }

  /** Resolves when the connection takes more and, if it is needed, there is credit. @throws why it was left. */
  async #mayGoOn(needsCredit: boolean): Promise<void> {
    if (this.writer.blocked) await this.writer.drained();
    if (needsCredit && this.#credit === 0) await this.#creditGranted();
    this.#leaving.signal.throwIfAborted();
  }

  /** Resolves when there is credit, or the sequence is left. */
  async #creditGranted(): Promise<void> {
    const timer = setTimeout(() => this.#leave(stalled(this.stallTimeoutMs)), this.stallTimeoutMs);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#leaving.signal.aborted) resolve();
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  #pendingEcho(): { text: string; logprobs: TokenLogprob[] } {
    const update = this.#pending();
    update.echo ??= { text: '', logprobs: [] };
    return update.echo;
  }

  /** The update that goes out with the next frame; several events of one turn share it. */
  #pending(): SequenceUpdate {
    if (this.#update === undefined || this.#updateFrame !== this.writer.frame) {
      const { sequenceId, attempt } = this.terms;
      this.#update = {
        sequenceId,
        attempt,
        begun: undefined,
        tokenIds: [],
        text: '',
        settled: undefined,
        logprobs: NO_LOGPROBS,
        echo: undefined,
        reasoning: '',
        calls: NO_CALLS,
        citations: NO_CITATIONS,
        unnumberedTokens: 0,
      };
      this.#updateFrame = this.writer.frame;
      this.writer.add(this.#update);
    }
    return this.#update;
  }

  #settle(settled: Settled, error?: unknown): SequenceEnding {
    this.#pending().settled = settled;
    this.trace?.close(settled);
    return { settled, error };
  }

  #failed(error: unknown): Settled {
    return { ...this.#settledAs('failed'), failure: failureOf(error) };
  }

  /** The engine says no numbers when an answer breaks off, so these are what was sent. */
  #settledAs(reason: string): Settled {
    return {
      reason,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      cachedTokens: this.#cachedTokens,
      reasoningTokens: 0,
      failure: undefined,
      stopText: '',
    };
  }
}

function sum(numbers: readonly number[] = []): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function stalled(allowedMs: number): InferenceError {
  const allowed = allowedMs.toLocaleString('en-US');
  return new InferenceError('client_closed_request', `Nobody read the answer for ${allowed} ms; it was dropped.`);
}

function settledWith({ reason, usage, stopText = '' }: Extract<AnswerEvent, { kind: 'finished' }>): Settled {
  return { reason, ...usage, reasoningTokens: usage.reasoningTokens ?? 0, failure: undefined, stopText };
}

function callMessage({ index, name = '', arguments: text }: CallDelta): CallMessage {
  return { index, name, arguments: text };
}

function citationMessage({ start, end, sources }: Citation): CitationMessage {
  return { start, end, sources: sources.map(sourceMessage) };
}

function sourceMessage(source: CitationSource): CitationMessage['sources'][number] {
  if (source.kind === 'document') return { source: { $case: 'document', value: source.document } };
  const { callId, result } = source;
  return { source: { $case: 'toolResult', value: { callId, result } } };
}

function logprobMessage({ top, ...chance }: LogprobEvent): TokenLogprob {
  return { ...chanceMessage(chance), top: top.map(chanceMessage) };
}

function chanceMessage({ token, bytes, logprob }: LogprobChance): TokenLogprob {
  return { token, spelling: bytes, logprob, top: NO_LOGPROBS };
}

/** What one takes in a frame, roughly: numbers and tags of 20 bytes, and the spelling. */
function logprobBytes({ bytes, top }: LogprobEvent): number {
  return top.reduce((sum, chance) => sum + 20 + chance.bytes.length, 20 + bytes.length);
}

/** `text` in pieces of at most `ECHO_CHARACTERS_MAX`, never through the middle of a character. */
function* inPieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + ECHO_CHARACTERS_MAX, text.length);
    const splits = end < text.length && isHighSurrogate(text.charCodeAt(end - 1));
    if (splits) end--;
    yield text.slice(at, end);
    at = end;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
