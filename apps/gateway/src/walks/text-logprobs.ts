import {
  type AnswerEvent,
  LOGPROB_MIN,
  type TextLogprobs,
  type TokenChance,
  type TokenLogprob,
} from '@millrace/contracts';
import { charactersBegun, spellToken } from './spell-token.js';

type Piece = Extract<AnswerEvent, { kind: 'echo' | 'tokens' }>;

/** What a decoder writes for bytes that belong to no character. */
const REPLACEMENT = '\ufffd';

/**
 * The log-probabilities of one choice in the shape of OpenAI's older endpoint, to be taken piece by piece.
 *
 * A piece does not tell which of its text belongs to which of its tokens, but its text is there before or with the
 * log-probabilities of its tokens, so `text_offset` is where the spelling of a token is found. A token that is spelt by
 * its name and is in no text (a control token) is not found, and takes no room.
 */
export class TextLogprobsWriter {
  /** Characters (code points) of the text that the tokens so far have begun. */
  #offset = 0;
  /** The text from there on, as far as it has come. */
  #ahead = '';
  /** Characters that tokens have begun and whose text is still to come. */
  #owed = 0;
  #echoedCharacters = 0;
  #answering = false;
  #untaken: TextLogprobs = nothing();

  add(piece: Piece): void {
    if (piece.kind === 'echo') this.#echoedCharacters += charactersIn(piece.text);
    if (piece.kind === 'tokens' && !this.#answering) this.#beginAnswer();
    this.#ahead += piece.text;
    this.#pay();
    for (const logprob of piece.logprobs ?? []) this.#write(logprob);
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

  #beginAnswer(): void {
    this.#answering = true;
    this.#offset = this.#echoedCharacters;
    this.#ahead = '';
    this.#owed = 0;
  }

  #write(logprob: TokenLogprob): void {
    const first = Number.isNaN(logprob.logprob);
    const { text, whole } = spellToken(logprob.bytes);
    const characters = whole ? this.#find(text) : charactersBegun(logprob.bytes);
    const name = whole ? text : `bytes:${text}`;
    this.#untaken.tokens.push(name);
    this.#untaken.token_logprobs.push(first ? null : finite(logprob.logprob));
    this.#untaken.top_logprobs.push(first ? null : likeliest(logprob, name));
    this.#untaken.text_offset.push(this.#offset);
    this.#pass(characters);
  }

  /** The length of a token that is next in the text, which is then where the offset points; 0 if it is in no text. */
  #find(spelt: string): number {
    if (this.#ahead.startsWith(spelt)) return charactersIn(spelt);
    // Some vocabularies begin every text with a blank that the text does not have.
    if (this.#offset === 0 && spelt.startsWith(' ') && this.#ahead.startsWith(spelt.slice(1))) {
      return charactersIn(spelt) - 1;
    }
    // Bytes before it may have come to more replacements than they began characters.
    let replacements = 0;
    while (this.#ahead[replacements] === REPLACEMENT) replacements++;
    if (!this.#ahead.startsWith(spelt, replacements)) return 0;
    this.#pass(replacements);
    return charactersIn(spelt);
  }

  #pass(characters: number): void {
    this.#offset += characters;
    this.#owed += characters;
    this.#pay();
  }

  #pay(): void {
    let units = 0;
    for (; this.#owed > 0 && units < this.#ahead.length; this.#owed--) {
      units += this.#ahead.codePointAt(units)! > 0xffff ? 2 : 1;
    }
    if (units > 0) this.#ahead = this.#ahead.slice(units);
  }
}

function charactersIn(text: string): number {
  let characters = 0;
  for (const _ of text) characters++;
  return characters;
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
