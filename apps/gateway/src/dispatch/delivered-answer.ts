import type { CallDelta, ResumedAnswer } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';

type Echo = Extract<SequenceEvent, { kind: 'echo' }>;
type Tokens = Extract<SequenceEvent, { kind: 'tokens' }>;
type Finished = Extract<SequenceEvent, { kind: 'finished' }>;

/**
 * UTF-16 units of what is kept of a request's answers, eight for each token: far more than the longest context fills.
 * Answers that are longer are not kept, and end with their worker.
 */
const KEPT_UNITS_MAX = 16 * 1024 * 1024;
const UNITS_PER_TOKEN = 8;

/**
 * What the caller has of each of a request's answers, so that another worker can go on where one broke off.
 *
 * It sees every event before the caller does, and lets through what is new: an attempt that goes on begins its sequences
 * again, and may give back a prompt again.
 */
export class DeliveredAnswers {
  readonly #sequences: readonly DeliveredSequence[];
  readonly #units = { left: KEPT_UNITS_MAX };
  #tokens = 0;

  constructor(sequences: number) {
    this.#sequences = Array.from({ length: sequences }, () => new DeliveredSequence(this.#units));
  }

  /** Tokens of all sequences and all attempts. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Whether another attempt can go on: what was delivered is known. */
  get resumable(): boolean {
    return this.#units.left >= 0;
  }

  /** An attempt begins, and what it gives back of a prompt begins anew. */
  beginAttempt(): void {
    for (const sequence of this.#sequences) sequence.beginAttempt();
  }

  /** The event as the caller should see it; undefined if it has all of it. */
  pass(event: SequenceEvent): SequenceEvent | undefined {
    if (event.kind === 'tokens') this.#tokens += event.tokens.length + (event.unnumbered ?? 0);
    return this.#sequences[event.index]!.pass(event);
  }

  isFinished(index: number): boolean {
    return this.#sequences[index]!.finished;
  }

  /** What the next attempt has to go on from; undefined for a sequence that can as well begin. */
  resumeOf(index: number): ResumedAnswer | undefined {
    return this.#sequences[index]!.resume();
  }
}

class DeliveredSequence {
  #begun: { readonly cachedTokens: number; readonly attempt: number } | undefined;
  #attempt = 0;
  #finished = false;
  /** Of the prompt: what the caller has, and what the present attempt has given back again. */
  #echo = { text: 0, logprobs: 0 };
  #echoAgain = { text: 0, logprobs: 0 };
  #any = false;
  readonly #tokens: number[] = [];
  #unnumbered = 0;
  readonly #text = new GrowingText();
  readonly #reasoning = new GrowingText();
  /** By their index. */
  readonly #calls: { readonly name: string | undefined; readonly arguments: GrowingText }[] = [];
  #citations = 0;
  #logprobs = 0;

  constructor(private readonly units: { left: number }) {}

  get finished(): boolean {
    return this.#finished;
  }

  beginAttempt(): void {
    this.#attempt++;
    this.#echoAgain = { text: 0, logprobs: 0 };
  }

  pass(event: SequenceEvent): SequenceEvent | undefined {
    switch (event.kind) {
      case 'begun':
        if (this.#begun !== undefined) return undefined;
        this.#begun = { cachedTokens: event.cachedTokens, attempt: this.#attempt };
        return event;
      case 'echo':
        return this.#passEcho(event);
      case 'tokens':
        this.#keep(event);
        return event;
      case 'finished':
        this.#finished = true;
        return this.#passFinished(event);
    }
  }

  resume(): ResumedAnswer | undefined {
    if (!this.#any) return undefined;
    return {
      tokens: [...this.#tokens],
      unnumbered: this.#unnumbered,
      text: this.#text.toString(),
      reasoning: this.#reasoning.toString(),
      calls: this.#calls.map(({ name, arguments: text }, index) => ({ index, name, arguments: text.toString() })),
      citations: this.#citations,
      logprobs: this.#logprobs,
    };
  }

  #passEcho(event: Echo): Echo | undefined {
    const { text, logprobs } = event;
    const again = this.#echoAgain;
    const known = {
      text: Math.min(text.length, this.#echo.text - again.text),
      logprobs: Math.min(logprobs.length, this.#echo.logprobs - again.logprobs),
    };
    again.text += text.length;
    again.logprobs += logprobs.length;
    this.#echo = {
      text: Math.max(this.#echo.text, again.text),
      logprobs: Math.max(this.#echo.logprobs, again.logprobs),
    };
    if (known.text === 0 && known.logprobs === 0) return event;
    if (known.text === text.length && known.logprobs === logprobs.length) return undefined;
    return { ...event, text: text.slice(known.text), logprobs: logprobs.slice(known.logprobs) };
  }

  /** What a later attempt found of the prompt in its cache was not saved: it would not have had to be read again. */
  #passFinished(event: Finished): Finished {
    if (this.#begun === undefined || this.#begun.attempt === this.#attempt) return event;
    return { ...event, usage: { ...event.usage, cachedTokens: this.#begun.cachedTokens } };
  }

  #keep({ tokens, unnumbered = 0, text, reasoning = '', calls, citations, logprobs }: Tokens): void {
    this.#any = true;
    this.#unnumbered += unnumbered;
    this.#citations += citations?.length ?? 0;
    this.#logprobs += logprobs?.length ?? 0;
    this.units.left -= UNITS_PER_TOKEN * tokens.length + text.length + reasoning.length;
    for (const { arguments: more } of calls ?? []) this.units.left -= UNITS_PER_TOKEN + more.length;
    if (this.units.left < 0) return;
    for (const token of tokens) this.#tokens.push(token);
    this.#text.add(text);
    this.#reasoning.add(reasoning);
    for (const call of calls ?? []) this.#keepCall(call);
  }

  /** Calls begin one after another; `ContentCheck` has seen to it. */
  #keepCall({ index, name, arguments: more }: CallDelta): void {
    this.#calls[index] ??= { name, arguments: new GrowingText() };
    this.#calls[index].arguments.add(more);
  }
}

const PIECES_MAX = 64;

/**
 * A text that grows by a few characters at a time, and is seldom read. What `+=` makes is a tree with a node for each
 * addition, which takes many times what the characters do; here they are joined, a block at a time.
 */
class GrowingText {
  readonly #blocks: string[] = [];
  #pieces: string[] = [];

  add(piece: string): void {
    if (piece === '') return;
    this.#pieces.push(piece);
    if (this.#pieces.length < PIECES_MAX) return;
    this.#blocks.push(this.#pieces.join(''));
    this.#pieces = [];
  }

  toString(): string {
    return [...this.#blocks, ...this.#pieces].join('');
  }
}
