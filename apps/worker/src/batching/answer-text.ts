import type { TokenLogprob } from '@millrace/contracts';
import { StopStrings } from '../prompt/stop-strings.js';
import type { Detokenizer } from '../token-engine/token-engine.js';

/** What may be let out of an answer now. */
export interface LetOut {
  readonly text: string;
  /** Of the tokens whose text is all let out. */
  readonly logprobs: readonly TokenLogprob[];
}

const NONE: readonly TokenLogprob[] = [];

interface Pending {
  readonly logprob: TokenLogprob;
  /** Where its text ends, in the text of the answer. */
  readonly end: number;
}

/**
 * From tokens to the text of an answer: whole characters, nothing that is or may become a stop text, and with the text
 * the log-probabilities of its tokens. A token whose text is cut by a stop text is no part of the answer, so nothing is
 * told of it: its spelling would let the stop text out.
 */
export class AnswerText {
  readonly #stops: StopStrings;
  /** Characters (UTF-16) of all tokens so far, and how many of them are let out. */
  #length = 0;
  #letOut = 0;
  #pending: Pending[] = [];

  constructor(
    private readonly detokenizer: Detokenizer,
    stops: readonly string[],
  ) {
    this.#stops = new StopStrings(stops);
  }

  /** Whether a stop text was found; nothing comes out any more. */
  get stopped(): boolean {
    return this.#stops.found;
  }

  push(token: number, logprob: TokenLogprob | undefined): LetOut {
    const piece = this.detokenizer.push(token);
    this.#length += piece.length;
    // A token without a text of its own begins a character, and is told with it: a stop text may yet cut that.
    if (logprob !== undefined) this.#pending.push({ logprob, end: this.#length + (piece === '' ? 1 : 0) });
    const text = this.#stops.push(piece);
    this.#letOut += text.length;
    return { text, logprobs: this.#ready() };
  }

  /** The answer is over, other than by a stop text unless the last characters make one. */
  end(): LetOut {
    const last = this.#stops.push(this.detokenizer.end());
    const text = this.#stops.found ? last : last + this.#stops.end();
    this.#letOut += text.length;
    if (!this.#stops.found) this.#letOut = Number.POSITIVE_INFINITY;
    return { text, logprobs: this.#ready() };
  }

  #ready(): readonly TokenLogprob[] {
    if (this.#pending.length === 0) return NONE;
    const ready = this.#pending.filter(({ end }) => end <= this.#letOut);
    this.#pending = this.#pending.slice(ready.length);
    return ready.map(({ logprob }) => logprob);
  }
}
