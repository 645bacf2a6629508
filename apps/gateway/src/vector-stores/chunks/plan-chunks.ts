/** Which part of a text is a chunk of it: from this character up to that one. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
  /** Of its first characters, how many the chunk before ends with. */
  readonly overlap: number;
}

export interface ChunkSizes {
  readonly tokensMax: number;
  /** Of each chunk but the first, as many tokens are the last of the chunk before; at most half of `tokensMax`. */
  readonly overlapTokens: number;
}

/** How much may stand between the end of a sentence and where the next begins. */
const LOOK_BACK_CHARACTERS = 8;

/**
 * Cuts a text into chunks of at most so many tokens, each of which begins exactly `overlapTokens` before the end of the last.
 *
 * A chunk ends where the text does so best within its second half: behind a paragraph, else a line, a sentence, a word, and else wherever a
 * token ends. So chunks are seldom as long as they may be, and hardly ever end within a sentence. The price is up to twice as many of them.
 *
 * One at a time, since whoever reads a long text has other things to do meanwhile.
 *
 * @param ends where each token of the text ends, in characters; the last at the text's own end. Some tokens may have no characters.
 */
export function* planChunks(
  text: string,
  ends: ArrayLike<number>,
  { tokensMax, overlapTokens }: ChunkSizes,
): Generator<Chunk> {
  const endOf = (tokens: number) => (tokens === 0 ? 0 : ends[tokens - 1]!);
  let start = 0;
  let formerEnd = 0;
  while (start < ends.length) {
    const furthest = Math.min(start + tokensMax, ends.length);
    // At least one token further than the last chunk reached, or there would be no end to it.
    const nearest = start + Math.max(overlapTokens + 1, Math.ceil(tokensMax / 2));
    const end = furthest === ends.length ? furthest : bestEnd(text, ends, Math.min(nearest, furthest), furthest);
    const [from, to] = [endOf(start), endOf(end)];
    if (to > formerEnd) yield { from, to, overlap: formerEnd - from };
    formerEnd = to;
    if (end === ends.length) return;
    start = end - overlapTokens;
  }
}

function bestEnd(text: string, ends: ArrayLike<number>, nearest: number, furthest: number): number {
  let best = furthest;
  let bestRank = -1;
  for (let end = furthest; end >= nearest; end--) {
    const rank = rankOfEnd(text, ends[end - 1]!);
    if (rank > bestRank) [best, bestRank] = [end, rank];
    if (rank === PARAGRAPH) break;
  }
  return best;
}

const PARAGRAPH = 4;

/** How good an end of a chunk it is, right before the character at `at`. */
function rankOfEnd(text: string, at: number): number {
  const before = text.slice(Math.max(0, at - LOOK_BACK_CHARACTERS), at);
  if (/\n[ \t\r]*\n\s*$/.test(before)) return PARAGRAPH;
  if (/\n\s*$/.test(before)) return 3;
  const isBetweenWords = /\s$/.test(before) || /\s/.test(text.charAt(at));
  // What ends sentences where no spaces stand between words needs none behind it.
  if (/[。！？｡]["'”’」』）)\]]*\s*$/.test(before)) return 2;
  if (isBetweenWords && /[.!?…]["'”’)\]]*\s*$/.test(before)) return 2;
  return isBetweenWords ? 1 : 0;
}
