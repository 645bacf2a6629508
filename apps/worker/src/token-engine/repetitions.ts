/**
 * Which tokens would lengthen a repetition, and of how many tokens: DRY's question.
 *
 * Wherever the end of `history` has occurred before, the token that followed there would go on repeating it. The answer
 * has each such token with the length of the longest occurrence before it, where that is at least `lengthMin`; lengths
 * count up to `lengthMax`, whatever the text. Takes time in proportion to the history.
 *
 * The lengths are those of the Z-algorithm over the reversed history, https://cp-algorithms.com/string/z-function.html.
 */
export function repetitions(history: Uint32Array, lengthMin: number, lengthMax: number): Map<number, number> {
  const longest = new Map<number, number>();
  const end = history.length - 1;
  const matches = new Uint32Array(history.length);
  // Of the matches found so far the one that reaches furthest back: from `left` to before `right`.
  let left = 0;
  let right = 0;
  for (let at = 1; at <= end; at++) {
    let length = at < right ? Math.min(matches[at - left]!, right - at) : 0;
    while (at + length <= end && history[end - length] === history[end - at - length]) length++;
    if (at + length > right) {
      left = at;
      right = at + length;
    }
    matches[at] = length;
    const counted = Math.min(length, lengthMax);
    if (counted < lengthMin) continue;
    const follower = history[end - at + 1]!;
    if (counted > (longest.get(follower) ?? -1)) longest.set(follower, counted);
  }
  return longest;
}
