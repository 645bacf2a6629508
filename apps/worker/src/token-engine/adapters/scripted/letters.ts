import { mixSeed } from '../../mix-seed.js';
import { VOCABULARY_SIZE } from './scripted-vocabulary.js';

/** Characters that the letters rule can say. Some span two to four tokens. */
const CHARACTERS = [...'abcdefghijklmnopqrstuvwxyz ', 'é', '€', '😀'].map((character) => [
  ...Buffer.from(character, 'utf8'),
]);

/** Logits of letters lie between 0 and this. */
const LIKING_MAX = 4;

/** The logit of everything else, ends included: it is never drawn, but a bias of 100 lifts it above all. */
const UNLIKELY = -30;

/**
 * Logits of the token after some others, as if by a very small language model without an end.
 *
 * `contents` is a hash of all the tokens before, and `lastTokens` the last three of them at least. The logits follow
 * from these alone, so an answer depends on the whole prompt and on nothing beside it: neither on the other places nor
 * on how the prompt was cut up.
 */
export function letterLogits(contents: number, lastTokens: readonly number[]): Float64Array {
  const logits = new Float64Array(VOCABULARY_SIZE).fill(UNLIKELY);
  const begun = beginningOfCharacter(lastTokens);
  for (const bytes of CHARACTERS) {
    if (!begun.every((byte, at) => bytes[at] === byte)) continue;
    logits[bytes[begun.length]!] = (mixSeed(contents, bytes.at(-1)!) / 2 ** 32) * LIKING_MAX;
  }
  return logits;
}

/** The bytes at the end that do not yet make a character. */
function beginningOfCharacter(tokens: readonly number[]): readonly number[] {
  for (let length = 1; length <= Math.min(3, tokens.length); length++) {
    const tail = tokens.slice(-length);
    if (CHARACTERS.some((bytes) => bytes.length > length && tail.every((byte, at) => bytes[at] === byte))) return tail;
  }
  return [];
}
