import type { AnswerContent, Citation, TokenLogprob } from '@millrace/contracts';
import type { AnswerReader, ReadContent } from '../prompt/answer-reader.js';
import { StopStrings } from '../prompt/stop-strings.js';
import type { Detokenizer } from '../token-engine/token-engine.js';

/** What may be let out of an answer now. */
export interface LetOut extends AnswerContent {
  /** Of the tokens whose text is all let out. */
  readonly logprobs: readonly TokenLogprob[];
}

const NONE: readonly TokenLogprob[] = [];
const NO_CITATIONS: readonly Citation[] = [];

interface Pending {
  readonly logprob: TokenLogprob;
  /** Where its text begins and ends in the answer as the model writes it. */
  readonly from: number;
  readonly to: number;
}

/** A piece of the answer as the model writes it that became text for the caller. */
interface Shown {
  readonly from: number;
  readonly to: number;
  /** Where it begins in the caller's text. */
  readonly at: number;
}

/**
 * From tokens to the content of an answer: whole characters, sorted by the reader into text, thoughts and calls, and in the
 * text nothing that is or may become a stop text. Stop texts end the text alone: they mean nothing in a thought or in the
 * arguments of a call.
 *
 * Log-probabilities come with the text of their tokens. A token whose text is cut by a stop text is no part of the answer,
 * so nothing is told of it: its spelling would let the stop text out. Nor of one that is a mark, a thought or part of a
 * call.
 */
export class AnswerText {
  readonly #stops: StopStrings;
  /** Characters (UTF-16) of all tokens so far. */
  #length = 0;
  /** Characters of the caller's text: known, and let out. */
  #known = 0;
  #letOut = 0;
  #decided = 0;
  /** Code points of the text that is let out, which citations are counted in. */
  #letOutPoints = 0;
  #citations: Citation[] = [];
  #pending: Pending[] = [];
  #shown: Shown[] = [];

  constructor(
    private readonly detokenizer: Detokenizer,
    private readonly reader: AnswerReader,
    stops: readonly string[],
  ) {
    this.#stops = new StopStrings(stops);
  }

  /** Whether a stop text was found; nothing comes out any more. */
  get stopped(): boolean {
    return this.#stops.found !== undefined;
  }

  /** Which it was. */
  get stopText(): string | undefined {
    return this.#stops.found;
  }

  /** The oldest log-probability that is held back; undefined if none is, or none will ever be told. */
  get firstPending(): TokenLogprob | undefined {
    return this.stopped ? undefined : this.#pending[0]?.logprob;
  }

  push(token: number, logprob: TokenLogprob | undefined): LetOut {
    const piece = this.detokenizer.push(token);
    const from = this.#length;
    this.#length += piece.length;
    // A token without a text of its own begins a character, and is told with it: a stop text may yet cut that.
    if (logprob !== undefined) this.#pending.push({ logprob, from, to: this.#length + (piece === '' ? 1 : 0) });
    return this.#letOutOf(this.reader.push(piece));
  }

  /** The answer is over, other than by a stop text unless the last characters make one. */
  end(): LetOut {
    const rest = this.detokenizer.end();
    this.#length += rest.length;
    const last = this.#letOutOf(this.reader.push(rest));
    const held = this.stopped ? undefined : this.#letOutOf(this.reader.end());
    const text = this.stopped ? '' : this.#letOutText(this.#stops.end());
    // A token that began a character which never came is told with the end.
    if (!this.stopped) this.#decided = Number.POSITIVE_INFINITY;
    const logprobs = this.#ready();
    return joined([last, ...(held ? [held] : []), { text, citations: this.#readyCitations(), logprobs }]);
  }

  #letOutOf(read: ReadContent): LetOut {
    const { reasoning, calls } = read;
    if (this.#pending.length > 0 || this.#shown.length > 0) this.#noteShown(read);
    else this.#known += read.text.length;
    this.#decided = read.decided;
    const text = this.#letOutText(this.#stops.push(read.text));
    const logprobs = this.#ready();
    for (const citation of read.citations ?? []) this.#citations.push(citation);
    const citations = this.#readyCitations();
    // What the model wrote behind a stop text is no part of the answer.
    return this.stopped ? { text, reasoning, citations, logprobs } : { text, reasoning, calls, citations, logprobs };
  }

  #letOutText(text: string): string {
    this.#letOut += text.length;
    this.#letOutPoints += codePoints(text);
    return text;
  }

  /** Those whose passage is let out: of a text that may yet be cut nothing is told. */
  #readyCitations(): readonly Citation[] {
    if (this.#citations.length === 0) return NO_CITATIONS;
    const ready = this.#citations.filter(({ end }) => end <= this.#letOutPoints);
    this.#citations = this.#citations.filter(({ end }) => end > this.#letOutPoints);
    return ready;
  }

  #noteShown({ shown }: ReadContent): void {
    for (const [from, to] of shown) {
      this.#shown.push({ from, to, at: this.#known });
      this.#known += to - from;
    }
  }

  #ready(): readonly TokenLogprob[] {
    if (this.#pending.length === 0) {
      if (this.#shown.length > 0) this.#shown = [];
      return NONE;
    }
    const ready: TokenLogprob[] = [];
    let done = 0;
    for (const pending of this.#pending) {
      if (pending.to > this.#decided) break;
      const end = this.#endInText(pending);
      if (end !== undefined && end > this.#letOut) break;
      if (end !== undefined) ready.push(pending.logprob);
      done++;
    }
    if (done > 0) this.#pending = this.#pending.slice(done);
    const needed = this.#pending[0]?.from ?? this.#length;
    this.#shown = this.#shown.filter(({ to }) => to > needed);
    return ready;
  }

  /** Where the last of its characters that the caller sees ends in the caller's text; undefined when there are none. */
  #endInText({ from, to }: Pending): number | undefined {
    const last = this.#shown.findLast((shown) => shown.from < to && shown.to > from);
    if (last !== undefined) return last.at + Math.min(to, last.to) - last.from;
    // It began a character, and the answer ended within it: the end tells of it.
    return this.#decided === Number.POSITIVE_INFINITY && from >= this.#length ? this.#letOut : undefined;
  }
}

function codePoints(text: string): number {
  let points = 0;
  for (const _ of text) points++;
  return points;
}

function joined(parts: readonly LetOut[]): LetOut {
  return {
    text: parts.map(({ text }) => text).join(''),
    reasoning: parts.map(({ reasoning }) => reasoning ?? '').join(''),
    calls: parts.flatMap(({ calls }) => calls ?? []),
    citations: parts.flatMap(({ citations }) => citations ?? []),
    logprobs: parts.flatMap(({ logprobs }) => logprobs),
  };
}
