import { mixSeed } from '../../mix-seed.js';
import type { ResolvedSampling } from '../../token-engine.js';

/** Characters that the letters rule can say. Some span two to four tokens. */
const CHARACTERS = [...'abcdefghijklmnopqrstuvwxyz ', 'é', '€', '😀'].map((character) => [
  ...Buffer.from(character, 'utf8'),
]);

/**
 * The token after a place's contents, as if by a very small language model without an end.
 *
 * `contents` is a hash of all the tokens the place holds. The likeliest character follows from it alone, so an answer
 * depends on the whole prompt and on nothing beside it: neither on the other places nor on how the prompt was cut up.
 * Sampling knows temperature, top_k, seed and the two penalties; the rest has no effect.
 */
export function chooseLetter(contents: number, answer: readonly number[], sampling: ResolvedSampling): number {
  const begun = beginningOfCharacter(answer);
  const candidates = CHARACTERS.filter((bytes) => begun.every((byte, at) => bytes[at] === byte)).map((bytes) => {
    const token = bytes[begun.length]!;
    return { token, score: score(contents, bytes, begun.length, answer, sampling) };
  });
  candidates.sort((a, b) => b.score - a.score);
  if (sampling.temperature === 0) return candidates[0]!.token;

  const considered = sampling.topK === 0 ? candidates : candidates.slice(0, sampling.topK);
  const seed = mixSeed(sampling.seed, answer.length);
  // Gumbel's trick: adding this noise and taking the best draws from the softmax of the scores.
  const noisy = considered.map(({ token, score }, rank) => {
    const uniform = (mixSeed(seed, rank) + 0.5) / 2 ** 32;
    return { token, score: score / sampling.temperature - Math.log(-Math.log(uniform)) };
  });
  return noisy.reduce((best, each) => (each.score > best.score ? each : best)).token;
}

/** The bytes at the end of the answer that do not yet make a character. */
function beginningOfCharacter(answer: readonly number[]): readonly number[] {
  for (let length = 1; length <= Math.min(3, answer.length); length++) {
    const tail = answer.slice(-length);
    if (CHARACTERS.some((bytes) => bytes.length > length && tail.every((byte, at) => bytes[at] === byte))) return tail;
  }
  return [];
}

function score(
  contents: number,
  bytes: readonly number[],
  at: number,
  answer: readonly number[],
  { presencePenalty, frequencyPenalty }: ResolvedSampling,
): number {
  const liking = (mixSeed(contents, bytes.at(-1)!) / 2 ** 32) * 4;
  if (presencePenalty === 0 && frequencyPenalty === 0) return liking;
  const used = answer.filter((token) => token === bytes[at]).length;
  return liking - (used > 0 ? presencePenalty : 0) - used * frequencyPenalty;
}
