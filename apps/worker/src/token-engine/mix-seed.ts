/**
 * A seed for the choice at one index of an answer, from the seed of the whole answer.
 *
 * Every choice gets a seed of its own, rather than the next number of one generator: an answer that goes on elsewhere
 * then draws the same numbers, without first drawing all those before. `index` counts the tokens of the answer, not the
 * positions in the place, so that it does not matter how the prompt was read.
 *
 * The mixing is MurmurHash3's: neighbouring seeds and indexes give unrelated results.
 */
export function mixSeed(seed: number, index: number): number {
  return scramble(scramble(seed) ^ Math.imul(index + 1, 0x9e3779b1));
}

function scramble(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
