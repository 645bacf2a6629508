import type { TokenLogprob } from '@millrace/contracts';
import type { Logprob, TokenEngine } from '../token-engine/token-engine.js';

export interface EchoPiece {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
}

/**
 * The prompt as it is given back before the answer, token by token, each with its log-probability.
 *
 * The text is that of the tokens as the vocabulary spells them, control tokens by name, since the prompt may have named
 * them; a character that spans tokens comes with the last of them. A beginning-of-text token that was put before the
 * prompt is not part of it.
 */
export class PromptEcho {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** Some vocabularies begin every text with a blank of their own. */
  #addedBlank: boolean;
  #next: number;

  /**
   * @param from the index of the first token that the caller sent.
   * @param text what the caller sent, if it was text.
   */
  constructor(
    private readonly tokens: readonly number[],
    from: number,
    text: string | undefined,
    private readonly engine: Pick<TokenEngine, 'bytesOf'>,
  ) {
    this.#next = from;
    this.#addedBlank = text !== undefined && spelling(tokens.slice(from), engine) === ` ${text}`;
  }

  /** The first token when nothing precedes it: nobody can say how likely it was. */
  first(): EchoPiece | undefined {
    return this.#next === 0 ? this.push([{ logprob: Number.NaN, top: [] }], 0) : undefined;
  }

  /** The log-probabilities of the tokens from index `at` on. Those of what is not echoed are dropped. */
  push(logprobs: readonly Logprob[], at: number): EchoPiece {
    let text = '';
    const told: TokenLogprob[] = [];
    for (const [index, logprob] of logprobs.entries()) {
      if (at + index < this.#next) continue;
      const token = this.tokens[this.#next++]!;
      text += this.#decoder.decode(this.engine.bytesOf(token), { stream: true });
      told.push(tokenLogprob(token, logprob, this.engine));
    }
    if (this.#next === this.tokens.length) text += this.#decoder.decode();
    return { text: this.#withoutAddedBlank(text), logprobs: told };
  }

  #withoutAddedBlank(text: string): string {
    if (!this.#addedBlank || text === '') return text;
    this.#addedBlank = false;
    return text.slice(1);
  }
}

/** The text of tokens as the vocabulary spells them, control tokens by name. */
export function spelling(tokens: readonly number[], engine: Pick<TokenEngine, 'bytesOf'>): string {
  return Buffer.concat(tokens.map((token) => engine.bytesOf(token))).toString('utf8');
}

/** What the engine says of a token, with the spellings that a caller reads. */
export function tokenLogprob(
  token: number,
  { logprob, top }: Logprob,
  engine: Pick<TokenEngine, 'bytesOf'>,
): TokenLogprob {
  return {
    token,
    bytes: engine.bytesOf(token),
    logprob,
    top: top.map((each) => ({ ...each, bytes: engine.bytesOf(each.token) })),
  };
}
