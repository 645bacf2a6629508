import type { TokenLogprob } from '@millrace/contracts';
import type { Logprob, TokenEngine } from '../token-engine/token-engine.js';
import { tokenLogprob } from './prompt-echo.js';

type Slot = { -readonly [K in keyof TokenLogprob]: TokenLogprob[K] };

/**
 * Log-probabilities of tokens that another attempt chose and told nothing of: they wait for the text of their tokens, and it
 * broke off before that. Each has a slot in the answer, which is filled when its token is read again.
 */
export class OwedLogprobs {
  readonly #slots: Slot[] = [];
  #from = Number.POSITIVE_INFINITY;

  /** @param first the index of the answer's first token among all tokens. */
  constructor(
    private readonly first: number,
    private readonly engine: Pick<TokenEngine, 'bytesOf'>,
  ) {}

  /** For the answer's next token: to be let out like any other, but not before it is filled. */
  open(token: number): TokenLogprob {
    const slot = { token, bytes: this.engine.bytesOf(token), logprob: Number.NaN, top: [] };
    this.#slots.push(slot);
    return slot;
  }

  /** The slots from this one on are owed. */
  oweFrom(slot: TokenLogprob | undefined): void {
    if (slot === undefined) return;
    // A token that follows nothing has no log-probability.
    this.#from = Math.max(1, Math.min(this.#from, this.first + this.#slots.indexOf(slot)));
  }

  get any(): boolean {
    return this.#from < this.end;
  }

  /** Index among all tokens of the first that is owed. */
  get from(): number {
    return this.#from;
  }

  /** Behind the last. */
  get end(): number {
    return this.first + this.#slots.length;
  }

  /** @param at the index among all tokens of the first that `scores` is about. */
  fill(scores: readonly Logprob[], at: number): void {
    for (const [index, score] of scores.entries()) {
      const slot = this.#slots[at + index - this.first];
      if (slot !== undefined) Object.assign(slot, tokenLogprob(slot.token, score, this.engine));
    }
  }
}
