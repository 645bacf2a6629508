import {
  type AnswerEvent,
  BACKGROUND_PRIORITY_MAX,
  type FinishReason,
  InferenceError,
  type ResumedAnswer,
  type TokenLogprob,
  timeoutSettingOf,
} from '@millrace/contracts';
import type { AnswerReader, Binding } from '../prompt/answer-reader.js';
import type { Choosing, Chosen, Grammar, Logprob, TokenEngine } from '../token-engine/token-engine.js';
import { AnswerBuffer } from './answer-buffer.js';
import { AnswerText, type LetOut } from './answer-text.js';
import { OwedLogprobs } from './owed-logprobs.js';
import type { PlannedSequence } from './plan-step.js';
import { PromptEcho, spelling, tokenLogprob } from './prompt-echo.js';
import type { ReadPrompt } from './read-prompt.js';
import { joined, Undelivered } from './undelivered.js';

/** How a sequence was settled; a metric's label. */
export type Outcome = FinishReason | 'cancelled' | 'stalled' | 'expired' | 'failed';

export interface SequenceRequest {
  readonly priority: number;
  readonly standing: number;
  readonly arrival: number;
  /** Answers to the same prompt hold the same object. */
  readonly prompt: ReadPrompt;
  readonly choosing: Omit<Choosing, 'grammar' | 'derived' | 'derivedAt'>;
  /** Its own: it follows this answer. */
  readonly reader: AnswerReader;
  /** Control tokens that the reader knows by name. */
  readonly spelled: readonly number[];
  /** Asked for when it joins: those who wait should not hold what a large grammar takes, each its own. */
  readonly grammarOf: (binding: Binding) => Grammar;
  /** The most tokens of the answer, resumed ones included. The prompt and they fit the context. */
  readonly completionTokensMax: number;
  readonly stop: readonly string[];
  readonly echo: boolean;
  readonly resume: ResumedAnswer | undefined;
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
 * Tokens of a prompt that a step reads where each of them is told about: for every one, the engine keeps a probability
 * for each word of its vocabulary, which for 150,000 words is 600 KB.
 */
const SCORED_READ_TOKENS_MAX = 32;

/** As while a model is replaced by another under the same name: nobody would notice the seam but by what is said behind it. */
const ANOTHER_MODEL =
  'The answer broke off, and the model here does not write its tokens as the one that began it did. Send the request again.';

/**
 * One answer being generated: waiting, then running, then settled, exactly once.
 *
 * Ownership: the scheduler alone gives it a place and lets it read and receive tokens. Anyone may cancel it, at any
 * time, also during a step: it is then settled at once, and the scheduler takes its place away before the next step.
 */
export class Sequence implements PlannedSequence {
  readonly answer: AnswerBuffer;
  readonly priority: number;
  readonly standing: number;
  readonly arrival: number;
  readonly prompt: readonly number[];
  /** Prompt, resumed tokens and the answer so far, in the order the engine reads them. */
  readonly #tokens: number[];
  readonly #text: AnswerText;
  /** What is told of the prompt while it is read; undefined when nothing is. */
  readonly #scoring: PromptEcho | undefined;
  readonly #deadline: NodeJS.Timeout;
  readonly #arrivedAtMs = performance.now();
  #waitedMs = 0;
  #place: number | undefined;
  #position = 0;
  #cachedTokens = 0;
  #begun = false;
  #heldBack = false;
  #outcome: Outcome | undefined;
  /** What resumed tokens bring beyond what was delivered for them; goes out with the first new token. */
  #seam: LetOut | undefined;
  /** Tells what the caller has; undefined when no attempt came before. */
  readonly #undelivered: Undelivered | undefined;
  /** What the earlier attempt owes; undefined when it is nothing. */
  #owed: OwedLogprobs | undefined;
  /** How it ends once that is paid: the resumed tokens were the whole answer. */
  #endsAs: 'stop' | 'length' | undefined;
  /** What binds the next token, and how many tokens there were when it began to. */
  #binding: Binding | undefined;
  #boundAt = 0;
  #dropped: Binding | undefined;
  /** Whether the engine has yet to be told of `#binding`. */
  #rebinds = false;
  #reasoningTokens = 0;
  readonly #abort = () => this.cancel(this.signal.reason);
  /** The token that ended the answer is chosen, but not part of it. */
  #endingTokens = 0;
  #stall: NodeJS.Timeout | undefined;

  constructor(
    private readonly request: SequenceRequest,
    private readonly engine: Pick<TokenEngine, 'openDetokenizer' | 'isEnd' | 'bytesOf'>,
    private readonly limits: SequenceLimits,
    private readonly listener: SequenceListener,
    private readonly signal: AbortSignal,
  ) {
    const { prompt, choosing, resume } = request;
    this.priority = request.priority;
    this.standing = request.standing;
    this.arrival = request.arrival;
    this.prompt = prompt.tokens;
    this.#tokens = [...prompt.tokens];
    this.#text = new AnswerText(engine.openDetokenizer(request.spelled), request.reader, request.stop);
    this.#binding = request.reader.binding;
    this.#scoring =
      this.#echoes && choosing.logprobs !== undefined
        ? new PromptEcho(prompt.tokens, prompt.added, prompt.text, engine)
        : undefined;
    this.answer = new AnswerBuffer({ onRead: () => this.#noteTaken(), onReturn: () => this.cancel(undefined) });
    this.#deadline = setTimeout(() => this.#expire(), limits.deadlineMs).unref();
    signal.addEventListener('abort', this.#abort, { once: true });
    this.#undelivered = resume && new Undelivered(resume);
    if (resume !== undefined) this.#replay(resume);
    // Nothing to compute: neither a token is wanted nor anything about the prompt.
    else if (this.unread === 0) this.#finishEmpty();
  }

  get state(): 'waiting' | 'running' | 'settled' {
    if (this.#outcome !== undefined) return 'settled';
    return this.#place === undefined ? 'waiting' : 'running';
  }

  get settled(): boolean {
    return this.#outcome !== undefined;
  }

  /** Where it lies in the engine. Still set when it is settled: the scheduler has to take the place back. */
  get place(): number | undefined {
    return this.#place;
  }

  /** Where in its place the next token is read. */
  get position(): number {
    return this.#position;
  }

  /** @throws InferenceError when its grammar can't be read, though it could be when it came. */
  takeChoosing(): Choosing {
    this.#rebinds = false;
    const { choosing, grammarOf } = this.request;
    const binding = this.#binding;
    if (binding === undefined || binding === this.#dropped) return choosing;
    const grammar = grammarOf(binding);
    // One that binds from the beginning has derived all that was chosen.
    if (this.#boundAt === 0 && binding.derived === '') return { ...choosing, grammar };
    return { ...choosing, grammar, derived: binding.derived, derivedAt: this.#boundAt };
  }

  /**
   * The engine refuses a binding that began in the midst of the answer: what was written with its first mark, in one
   * token, does not fit. The answer goes on unbound, and its reader gives back as text what is no call.
   *
   * @returns whether there was such a binding.
   */
  dropBinding(): boolean {
    if (this.#binding === undefined || this.#binding.derived === '' || this.#binding === this.#dropped) return false;
    this.#dropped = this.#binding;
    return true;
  }

  /** Whether what binds the next token has changed since `takeChoosing`. */
  get rebinds(): boolean {
    return this.#rebinds;
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  get unread(): number {
    if (this.#chooses) return this.#tokens.length - this.#position;
    // What follows the last token is not asked for, so it need not be read.
    if (this.#owed !== undefined) return this.#tokens.length - 1 - this.#position;
    return this.#scoring === undefined ? 0 : this.#tokens.length - 1 - this.#position;
  }

  get readMax(): number {
    if (this.#scoring !== undefined) return SCORED_READ_TOKENS_MAX;
    const owed = this.#owed;
    if (owed === undefined || this.#position + 1 >= owed.end) return Number.POSITIVE_INFINITY;
    // Where it will begin is not known yet.
    if (this.#place === undefined) return SCORED_READ_TOKENS_MAX;
    const before = owed.from - 1 - this.#position;
    return before > 0 ? before : SCORED_READ_TOKENS_MAX;
  }

  get reusable(): number {
    // Each token that is told about has to be read; and the last one, since the choice follows from it.
    if (this.#scoring !== undefined) return 0;
    return this.#owed === undefined ? this.#tokens.length - 1 : this.#owed.from - 1;
  }

  get background(): boolean {
    return this.priority <= BACKGROUND_PRIORITY_MAX;
  }

  get paused(): boolean {
    return this.answer.unreadTokens >= this.limits.unreadTokensMax;
  }

  get promptTokens(): number {
    return this.prompt.length;
  }

  /** How many tokens of the prompt were found in the engine. */
  get cachedTokens(): number {
    return this.#cachedTokens;
  }

  /** Every token that the engine chose for this answer. */
  get completionTokens(): number {
    return this.#tokens.length - this.prompt.length + this.#endingTokens;
  }

  /** The tokens of the answer so far, resumed ones included. */
  get chosen(): readonly number[] {
    return this.#tokens.slice(this.prompt.length);
  }

  // ------------------------------------------------------------------------------- what the scheduler does with it

  /** Whether this is the first time. */
  holdBack(): boolean {
    const first = !this.#heldBack;
    this.#heldBack = true;
    return first;
  }

  /** It lies at `place` now, where its first `kept` tokens are read already. */
  join(place: number, kept: number): void {
    this.#place = place;
    this.#position = kept;
    this.#cachedTokens = Math.min(kept, this.prompt.length);
    this.#waitedMs = performance.now() - this.#arrivedAtMs;
  }

  /** What could have been kept is lost: everything has to be read. */
  loseKept(): void {
    this.#position = 0;
    this.#cachedTokens = 0;
  }

  /** The next `count` tokens to read. */
  nextTokens(count: number): number[] {
    return this.#tokens.slice(this.#position, this.#position + count);
  }

  /** Whether the next token is to be chosen once the next `count` are read. */
  choosesAfter(count: number): boolean {
    return this.#chooses && count === this.unread;
  }

  /** Tokens that are given, and whose log-probabilities the next `count` tokens give; undefined when none are wanted. */
  scoredBy(count: number): number[] | undefined {
    const end = this.#scoredEnd(count);
    const from = this.#position + 1;
    const scored = this.#tokens.slice(from, Math.min(from + count, end));
    return scored.length === 0 ? undefined : scored;
  }

  /** Behind the last that is scored at all. */
  #scoredEnd(count: number): number {
    if (this.#scoring !== undefined) return this.prompt.length;
    if (this.#owed === undefined || this.#position + count < this.#owed.from) return 0;
    return this.#owed.end;
  }

  /** The engine has read the next `count` tokens, and says `scores` of those that follow them. */
  noteRead(count: number, scores: readonly Logprob[] | undefined): void {
    const from = this.#position + 1;
    this.#position += count;
    if (this.settled || scores === undefined) return;
    if (this.#owed !== undefined) this.#payOwed(this.#owed, scores, from);
    if (this.#scoring === undefined) return;
    this.#begin();
    const { text, logprobs } = this.#scoring.push(scores, from);
    this.answer.addEcho(text, logprobs);
    if (!this.#chooses && this.unread === 0) this.#finish('length', undefined);
    else if (this.paused) this.#pause();
  }

  #payOwed(owed: OwedLogprobs, scores: readonly Logprob[], from: number): void {
    owed.fill(scores, from);
    if (this.#endsAs !== undefined && this.unread === 0) this.#endAs(this.#endsAs);
  }

  /** The engine chose a token. */
  receive({ token, logprob }: Chosen): void {
    if (this.settled) return;
    this.#begin();
    if (this.engine.isEnd(token)) {
      this.#endingTokens = 1;
      this.#finishWithRest('stop');
    } else {
      this.#add(token, logprob);
    }
  }

  // ------------------------------------------------------------------------------------------- how it can be settled

  /** The reader wants no more. With a `reason`, a reader that is still there gets it thrown. */
  cancel(reason: unknown): void {
    const code = reason instanceof InferenceError ? reason.code : undefined;
    // Who serves the answer may see the stall before us, since it knows the reader's credit.
    if (!this.#settle(code === 'client_closed_request' ? 'stalled' : 'cancelled')) return;
    // A worker that stops hands back what it has computed: whoever goes on with it need not compute that again.
    if (code === 'shutting_down') this.answer.end({ error: reason });
    else if (reason !== undefined) this.answer.abort(reason);
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
        `The answer was not complete after ${allowed} ms, with ${this.completionTokens} tokens. Ask for fewer tokens, or allow more time, up to ${timeoutSettingOf(this.priority)}.`,
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

  #finishEmpty(): void {
    this.#begin();
    this.#finish('length', undefined);
  }

  #finishWithRest(reason: 'stop' | 'length'): void {
    const rest = this.#unseen(this.#text.end());
    // The last bytes may have become a stop text; the answer then ends with it, whatever else was about to end it.
    this.#finish(this.#text.stopped ? 'stop' : reason, rest);
  }

  #finish(ending: 'stop' | 'length', rest: LetOut | undefined): void {
    const reason: FinishReason = ending === 'stop' && this.request.reader.calls > 0 ? 'tool_calls' : ending;
    if (!this.#settle(reason)) return;
    this.#letSeamOut();
    if (rest !== undefined) this.answer.addContent(rest);
    const { promptTokens, completionTokens, cachedTokens } = this;
    const reasoningTokens = this.#reasoningTokens;
    const usage = { promptTokens, completionTokens, cachedTokens, ...(reasoningTokens > 0 && { reasoningTokens }) };
    const stopText = reason === 'stop' ? this.#text.stopText : undefined;
    this.answer.end({ event: { kind: 'finished', reason, usage, ...(stopText !== undefined && { stopText }) } });
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

  /** Whether any token is wanted; without, the prompt alone is. */
  get #chooses(): boolean {
    return this.request.completionTokensMax > 0 && this.#endsAs === undefined;
  }

  /** An answer that goes on has given its prompt back before. */
  get #echoes(): boolean {
    return this.request.echo && this.request.resume === undefined;
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const { promptTokens, cachedTokens } = this;
    const begun: AnswerEvent = { kind: 'begun', promptTokens, cachedTokens, waitedMs: Math.round(this.#waitedMs) };
    this.answer.begin(begun);
    if (!this.#echoes) return;
    const first = this.#scoring?.first();
    if (first !== undefined) this.answer.addEcho(first.text, first.logprobs);
    if (this.#scoring === undefined) this.answer.addEcho(this.#promptText(), []);
  }

  #promptText(): string {
    const { text, tokens, added } = this.request.prompt;
    if (text !== undefined) return text;
    return spelling(tokens.slice(added), this.engine);
  }

  #add(token: number, logprob: Logprob | undefined): void {
    this.#tokens.push(token);
    const told = logprob && tokenLogprob(token, logprob, this.engine);
    const content = this.#read(token, told);
    if (this.#text.stopped) {
      this.#finish('stop', content);
      return;
    }
    this.#letSeamOut();
    this.answer.addToken(token, content);
    if (this.#isFull()) this.#finishWithRest('length');
    else if (this.paused) this.#pause();
  }

  /** `completionTokensMax` leaves room in the context, so that this also says when the context is full. */
  #isFull(): boolean {
    return this.completionTokens >= this.request.completionTokensMax;
  }

  /** The token is the last of `#tokens`. */
  #read(token: number, logprob: TokenLogprob | undefined): LetOut {
    const { reader } = this.request;
    const thought = reader.reasoning;
    const content = this.#unseen(this.#text.push(token, logprob));
    // The mark that opens a thought and the one that closes it are counted with it.
    if (thought || reader.reasoning) this.#reasoningTokens++;
    if (reader.binding !== this.#binding) {
      this.#binding = reader.binding;
      this.#boundAt = this.#tokens.length - this.prompt.length;
      this.#rebinds = true;
    }
    return content;
  }

  #unseen(content: LetOut): LetOut {
    return this.#undelivered?.of(content) ?? content;
  }

  #letSeamOut(): void {
    if (this.#seam === undefined) return;
    const seam = this.#seam;
    this.#seam = undefined;
    this.answer.addContent(seam);
  }

  /**
   * Puts detokenizer and stop texts where the earlier attempt left them, by giving them its tokens again. What comes
   * out beyond the text already delivered is what that attempt held back: the beginning of a character or of a stop
   * text, or text whose frame was lost.
   */
  #replay(resume: ResumedAnswer): void {
    const told = this.request.choosing.logprobs !== undefined;
    const owed = new OwedLogprobs(this.prompt.length, this.engine);
    const pieces: LetOut[] = [];
    for (const token of resume.tokens) {
      this.#tokens.push(token);
      pieces.push(this.#read(token, told ? owed.open(token) : undefined));
    }
    if (this.#undelivered?.contradicted) {
      this.fail(new InferenceError('answer_broken_off', ANOTHER_MODEL));
      return;
    }
    this.#seam = joined(pieces);
    owed.oweFrom(this.#seam.logprobs[0]);
    owed.oweFrom(this.#text.firstPending);
    if (owed.any) this.#owed = owed;
    const end = this.#text.stopped ? 'stop' : this.#isFull() ? 'length' : undefined;
    if (end === undefined) return;
    if (this.#owed === undefined) this.#endAs(end);
    else this.#endsAs = end;
  }

  /** Nothing comes behind the resumed tokens. */
  #endAs(end: 'stop' | 'length'): void {
    this.#begin();
    if (end === 'stop') this.#finish('stop', undefined);
    else this.#finishWithRest('length');
  }

  #pause(): void {
    if (this.#stall === undefined) this.listener.onPaused();
    this.#awaitReader();
  }

  #awaitReader(): void {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.#stalled(), this.limits.stallTimeoutMs).unref();
  }

  #noteTaken(): void {
    if (this.#stall === undefined) return;
    if (this.paused) {
      this.#awaitReader(); // It took the echo, say, and tokens still wait.
      return;
    }
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.listener.onUnpaused();
  }
}
