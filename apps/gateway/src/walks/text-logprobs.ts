import {
  type AnswerEvent,
  LOGPROB_MIN,
  type TextLogprobs,
  type TokenChance,
  type TokenLogprob,
} from '@millrace/contracts';
import { charactersBegun, spellToken } from './spell-token.js';

type Piece = Extract<AnswerEvent, { kind: 'echo' | 'tokens' }>;

/**
 * The log-probabilities of one choice in the shape of OpenAI's older endpoint, to be taken piece by piece.
 *
 * `text_offset` follows from the bytes of the tokens, and where the answer begins from the length of the echo: the text
 * of a piece does not tell which of its tokens it belongs to.
 */
export class TextLogprobsWriter {
  #echoedCharacters = 0;
  #answering = false;
  #offset = 0;
  #untaken: TextLogprobs = nothing();

  add(piece: Piece): void {
    if (piece.kind === 'echo') this.#echoedCharacters += [...piece.text].length;
    if (piece.kind === 'tokens' && !this.#answering) {
      this.#answering = true;
      this.#offset = this.#echoedCharacters;
    }
    for (const logprob of piece.logprobs ?? []) this.#write(logprob, piece.text);
  }

  /** What was added since the last time; null if nothing was. */
  take(): TextLogprobs | null {
    if (this.#untaken.tokens.length === 0) return null;
    const taken = this.#untaken;
    this.#untaken = nothing();
    return taken;
  }

  /** Everything that was added, though it be nothing. */
  takeAll(): TextLogprobs {
    return this.take() ?? nothing();
  }

  #write(logprob: TokenLogprob, text: string): void {
    const first = Number.isNaN(logprob.logprob);
    const name = nameOf(logprob);
    this.#untaken.tokens.push(name);
    this.#untaken.token_logprobs.push(first ? null : finite(logprob.logprob));
    this.#untaken.top_logprobs.push(first ? null : likeliest(logprob, name));
    this.#untaken.text_offset.push(this.#offset);
    // A beginning-of-text token is spelt by its name, which is no part of the text.
    if (!first || text.startsWith(name)) this.#offset += charactersBegun(logprob.bytes);
  }
}

/** The token itself belongs to its likeliest, as at OpenAI: so there may be one more of them than were asked for. */
function likeliest(logprob: TokenLogprob, name: string): Record<string, number> {
  const chances = [...logprob.top.map((chance) => [nameOf(chance), chance] as const), [name, logprob] as const];
  const byName = new Map<string, number>();
  for (const [spelt, chance] of chances) {
    // Two tokens may be spelt alike: the likelier one came first.
    if (!byName.has(spelt)) byName.set(spelt, finite(chance.logprob));
  }
  return Object.fromEntries(byName);
}

function nameOf({ bytes }: TokenChance): string {
  const { text, whole } = spellToken(bytes);
  return whole ? text : `bytes:${text}`;
}

/** JSON knows no infinity, and would make null of it. */
function finite(logprob: number): number {
  return Math.max(LOGPROB_MIN, logprob);
}

function nothing(): TextLogprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}
