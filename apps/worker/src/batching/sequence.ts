import { type AnswerEvent, type FinishReason, InferenceError } from '@millrace/contracts';
import { StopStrings } from '../prompt/stop-strings.js';
import type { ResolvedSampling, TokenEngine } from '../token-engine/token-engine.js';
import { AnswerBuffer } from './answer-buffer.js';
import type { PlannedSequence } from './plan-step.js';

/** How a sequence was settled; a metric's label. */
export type Outcome = 'stop' | 'length' | 'cancelled' | 'stalled' | 'expired' | 'failed';

export interface SequenceRequest {
  readonly priority: number;
  readonly arrival: number;
  readonly promptTokens: readonly number[];
  readonly sampling: ResolvedSampling;
  /** The most tokens of the answer, resumed ones included. The prompt and they fit the context. */
  readonly completionTokensMax: number;
  readonly stop: readonly string[];
  readonly resume: { readonly tokens: readonly number[]; readonly text: string } | undefined;
}

export interface SequenceLimits {
  readonly deadlineMs: number;
  /** How long a full buffer may stay unread. */
  readonly stallTimeoutMs: number;
  /** Tokens that may wait for their reader before the sequence is paused. */
  readonly unreadTokensMax: number;
}

/** Told of what changes outside a step, so that a sleeping scheduler wakes. */
export interface SequenceListener {
  onPaused(): void;
  onUnpaused(): void;
  onSettled(sequence: Sequence, outcome: Outcome): void;
}

/**
 * One answer being generated: waiting, then running, then settled, exactly once.
 *
 * Ownership: the scheduler alone gives it a place and lets it read and receive tokens. Anyone may cancel it, at any
 * time, also during a step: it is then settled at once, and the scheduler takes its place away before the next step.
 */
export class Sequence implements PlannedSequence {
  readonly answer: AnswerBuffer;
  readonly priority: number;
  readonly arrival: number;
  readonly sampling: ResolvedSampling;
  /** Prompt, resumed tokens and the answer so far, in the order the engine reads them. */
  readonly #tokens: number[];
  readonly #promptLength: number;
  readonly #detokenizer;
  readonly #stops: StopStrings;
  readonly #deadline: NodeJS.Timeout;
  readonly #arrivedAtMs = performance.now();
  #waitedMs = 0;
  #place: number | undefined;
  #position = 0;
  #begun = false;
  #outcome: Outcome | undefined;
  /** Text of resumed tokens that the earlier attempt held back; goes out with the first new token. */
  #seamText = '';
  readonly #abort = () => this.cancel(this.signal.reason);
  /** The token that ended the answer is chosen, but not part of it. */
  #endingTokens = 0;
  #stall: NodeJS.Timeout | undefined;

  constructor(
    private readonly request: SequenceRequest,
    private readonly engine: Pick<TokenEngine, 'openDetokenizer' | 'isEnd'>,
    private readonly limits: SequenceLimits,
    private readonly listener: SequenceListener,
    private readonly signal: AbortSignal,
  ) {
    this.priority = request.priority;
    this.arrival = request.arrival;
    this.sampling = request.sampling;
    this.#tokens = [...request.promptTokens];
    this.#promptLength = request.promptTokens.length;
    this.#detokenizer = engine.openDetokenizer();
    this.#stops = new StopStrings(request.stop);
    this.answer = new AnswerBuffer({ onRead: () => this.#noteRead(), onReturn: () => this.cancel(undefined) });
    this.#deadline = setTimeout(() => this.#expire(), limits.deadlineMs).unref();
    signal.addEventListener('abort', this.#abort, { once: true });
    if (request.resume !== undefined) this.#replay(request.resume);
  }

  get state(): 'waiting' | 'running' | 'settled' {
    if (this.#outcome !== undefined) return 'settled';
    return this.#place === undefined ? 'waiting' : 'running';
  }

  get settled(): boolean {
    return this.#outcome !== undefined;
  }

  /** Where it lies in the engine. Still set when it is settled: the scheduler has to clear the place. */
  get place(): number | undefined {
    return this.#place;
  }

  /** Where in its place the next token is read. */
  get position(): number {
    return this.#position;
  }

  get unread(): number {
    return this.#tokens.length - this.#position;
  }

  get paused(): boolean {
    return this.answer.unreadTokens >= this.limits.unreadTokensMax;
  }

  get promptTokens(): number {
    return this.#promptLength;
  }

  /** Every token that the engine chose for this answer. */
  get completionTokens(): number {
    return this.#tokens.length - this.#promptLength + this.#endingTokens;
  }

  /** The tokens of the answer so far, resumed ones included. */
  get chosen(): readonly number[] {
    return this.#tokens.slice(this.#promptLength);
  }

  // ------------------------------------------------------------------------------- what the scheduler does with it

  join(place: number): void {
    this.#place = place;
    this.#waitedMs = performance.now() - this.#arrivedAtMs;
  }

  /** The next `count` tokens to read. */
  nextTokens(count: number): number[] {
    return this.#tokens.slice(this.#position, this.#position + count);
  }

  /** The engine has read the next `count` tokens. */
  noteRead(count: number): void {
    this.#position += count;
  }

  /** The engine chose `token`. */
  receive(token: number): void {
    if (this.settled) return;
    this.#begin();
    if (this.engine.isEnd(token)) {
      this.#endingTokens = 1;
      this.#finish('stop', this.#restOfText());
    } else {
      this.#add(token);
    }
  }

  // ------------------------------------------------------------------------------------------- how it can be settled

  /** The reader wants no more. With a `reason`, a reader that is still there gets it thrown. */
  cancel(reason: unknown): void {
    // Who serves the answer may see the stall before us, since it knows the reader's credit.
    const stalled = reason instanceof InferenceError && reason.code === 'client_closed_request';
    if (this.#settle(stalled ? 'stalled' : 'cancelled') && reason !== undefined) this.answer.abort(reason);
  }

  fail(error: unknown): void {
    if (this.#settle('failed')) this.answer.end({ error });
  }

  #expire(): void {
    if (!this.#settle('expired')) return;
    const allowed = this.limits.deadlineMs.toLocaleString('en-US');
    this.answer.end({
      error: new InferenceError(
        'deadline_exceeded',
        `The answer was not complete after ${allowed} ms, with ${this.completionTokens} tokens. Ask for fewer tokens, or allow more time.`,
      ),
    });
  }

  #stalled(): void {
    if (!this.#settle('stalled')) return;
    const allowed = this.limits.stallTimeoutMs.toLocaleString('en-US');
    this.answer.abort(
      new InferenceError('client_closed_request', `Nobody read the answer for ${allowed} ms; it was dropped.`),
    );
  }

  #finish(reason: FinishReason, text: string): void {
    if (!this.#settle(reason)) return;
    this.answer.addText(text);
    const { promptTokens, completionTokens } = this;
    this.answer.end({
      event: { kind: 'finished', reason, usage: { promptTokens, completionTokens, cachedTokens: 0 } },
    });
  }

  /** Every way out leads through here; false when it was settled before. */
  #settle(outcome: Outcome): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    clearTimeout(this.#deadline);
    clearTimeout(this.#stall);
    this.signal.removeEventListener('abort', this.#abort);
    this.listener.onSettled(this, outcome);
    return true;
  }

  // ----------------------------------------------------------------------------------------------------- its inside

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const begun: AnswerEvent = {
      kind: 'begun',
      promptTokens: this.promptTokens,
      cachedTokens: 0,
      waitedMs: Math.round(this.#waitedMs),
    };
    this.answer.begin(begun);
  }

  #add(token: number): void {
    this.#tokens.push(token);
    const text = this.#takeSeam() + this.#stops.push(this.#detokenizer.push(token));
    if (this.#stops.found) {
      this.#finish('stop', text);
      return;
    }
    this.answer.addToken(token, text);
    if (this.#isFull()) this.#finish('length', this.#restOfText());
    else if (this.paused) this.#pause();
  }

  /** `completionTokensMax` leaves room in the context, so that this also says when the context is full. */
  #isFull(): boolean {
    return this.completionTokens >= this.request.completionTokensMax;
  }

  #restOfText(): string {
    const last = this.#takeSeam() + this.#stops.push(this.#detokenizer.end());
    return this.#stops.found ? last : last + this.#stops.end();
  }

  #takeSeam(): string {
    const text = this.#seamText;
    this.#seamText = '';
    return text;
  }

  /**
   * Puts detokenizer and stop texts where the earlier attempt left them, by giving them its tokens again. What comes
   * out beyond the text already delivered is what that attempt held back: the beginning of a character or of a stop
   * text, or text whose frame was lost.
   */
  #replay({ tokens, text: delivered }: { readonly tokens: readonly number[]; readonly text: string }): void {
    let text = '';
    for (const token of tokens) {
      this.#tokens.push(token);
      text += this.#stops.push(this.#detokenizer.push(token));
    }
    this.#seamText = text.slice(delivered.length);
    if (!this.#stops.found && !this.#isFull()) return;
    this.#begin();
    this.#finish(this.#stops.found ? 'stop' : 'length', this.#stops.found ? this.#takeSeam() : this.#restOfText());
  }

  #pause(): void {
    this.listener.onPaused();
    this.#stall = setTimeout(() => this.#stalled(), this.limits.stallTimeoutMs).unref();
  }

  #noteRead(): void {
    if (this.#stall === undefined) return;
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.listener.onUnpaused();
  }
}
