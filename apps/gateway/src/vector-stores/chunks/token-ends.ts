import { setImmediate as nextTurn } from 'node:timers/promises';
import { estimateTokens } from './estimate-tokens.js';

/** The tokens of a text, by the bytes of each. Undefined: the model does not tell. */
export type SpellTokens = (text: string, signal: AbortSignal) => Promise<readonly Uint8Array[] | undefined>;

/** Of the text, to be looked at in one turn of the event loop, and asked of a worker in one call. */
const SEGMENT_CHARACTERS = 8_192;

/**
 * Where each token of a text ends, in characters: by the model's own tokens where it tells them, else by an estimate. Once it does not, the rest
 * is estimated too.
 *
 * The text is looked at in segments that end between words, so that no token reaches over them that would not have ended there.
 */
export async function findTokenEnds(text: string, spell: SpellTokens, signal: AbortSignal): Promise<Uint32Array> {
  const ends = new GrowingList();
  let isTold = true;
  for (let from = 0; from < text.length; ) {
    const to = endOfSegment(text, from);
    const segment = text.slice(from, to);
    const pieces: readonly Uint8Array[] | undefined = isTold ? await spell(segment, signal) : undefined;
    isTold = pieces !== undefined;
    for (const end of pieces === undefined ? estimateTokens(segment) : endsOfPieces(segment, pieces))
      ends.push(from + end);
    from = to;
    await nextTurn();
    signal.throwIfAborted();
  }
  return ends.taken();
}

/** Behind the last white space, else wherever no character is cut in two. */
function endOfSegment(text: string, from: number): number {
  const furthest = from + SEGMENT_CHARACTERS;
  if (furthest >= text.length) return text.length;
  for (let at = furthest; at > from + SEGMENT_CHARACTERS / 2; at--) {
    if (/\s/.test(text.charAt(at - 1)) && !/\s/.test(text.charAt(at))) return at;
  }
  return isWithinCharacter(text, furthest) ? furthest - 1 : furthest;
}

/**
 * Some vocabularies spell what they read in another way, in lower case or with marks for spaces. Then it is known how many tokens there are,
 * and they are taken to be spread as the estimate has them.
 */
function endsOfPieces(text: string, pieces: readonly Uint8Array[]): number[] {
  return exactEnds(text, pieces) ?? spreadEnds(estimateTokens(text), pieces.length);
}

/** A token that ends within a character ends behind it. */
function exactEnds(text: string, pieces: readonly Uint8Array[]): number[] | undefined {
  const bytes = Buffer.from(text);
  if (!Buffer.concat(pieces).equals(bytes)) return undefined;
  const ends: number[] = [];
  let at = 0;
  let to = 0;
  let character = 0;
  for (const { length } of pieces) {
    to += length;
    while (at < to) {
      // A first byte of UTF-8 says how many follow; four bytes are two of JavaScript's characters.
      const first = bytes[at]!;
      const width = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
      at += width;
      character += width === 4 ? 2 : 1;
    }
    ends.push(character);
  }
  return ends;
}

/** So many ends, of which the last is the last. Where there are more than places, some tokens have no characters. */
function spreadEnds(places: readonly number[], count: number): number[] {
  return Array.from(
    { length: Math.max(1, count) },
    (_, at) => places[Math.ceil(((at + 1) * places.length) / Math.max(1, count)) - 1]!,
  );
}

function isWithinCharacter(text: string, at: number): boolean {
  return /[\ud800-\udbff]/.test(text.charAt(at - 1)) && /[\udc00-\udfff]/.test(text.charAt(at));
}

/** Numbers of 32 bits, of which there may be millions: a plain list would take twice the memory and more. */
class GrowingList {
  #values = new Uint32Array(1_024);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Uint32Array(2 * this.#length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  taken(): Uint32Array {
    return this.#values.subarray(0, this.#length);
  }
}
