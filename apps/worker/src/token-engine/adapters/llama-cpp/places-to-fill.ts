/** A wider gap costs more to fill than the pass it saves. */
const GAP_MAX = 3;

/**
 * Places between those of a batch that should read a token too, to be forgotten at once.
 *
 * llama.cpp computes places together only while their numbers rise by one; after a gap it begins another pass over all
 * weights. A token more in a pass is far cheaper than a pass more (docs/concepts/engine.md has the figures), so short
 * gaps are filled, with at most as many fillers as there is work.
 *
 * `places` rise; `fillable` says whether a place has room and may be cut back; `most` is the room left in the batch.
 */
export function placesToFill(
  places: readonly number[],
  fillable: (place: number) => boolean,
  most: number,
): readonly number[] {
  const fillers: number[] = [];
  const budget = Math.min(most, places.length);
  for (const [index, place] of places.slice(1).entries()) {
    const before = places[index]!;
    const gap = Array.from({ length: place - before - 1 }, (_, step) => before + 1 + step);
    if (gap.length > GAP_MAX || fillers.length + gap.length > budget) continue;
    // A gap that stays partly open saves nothing.
    if (gap.every(fillable)) fillers.push(...gap);
  }
  return fillers;
}
