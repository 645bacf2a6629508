import type { PlannedSequence, StepLimits } from './plan-step.js';

/** What a place of the engine holds: the first `held` of `tokens`. */
export interface PlaceContents {
  readonly tokens: readonly number[];
  readonly held: number;
  /** Grows; the higher, the later it was used. */
  readonly lastUsed: number;
}

/** Where a sequence is to lie, and what it finds there. */
export interface Seat {
  readonly place: number;
  /** The place whose beginning is to be copied here first; absent when what is kept lies here already. */
  readonly copyFrom: number | undefined;
  /** How many of the sequence's tokens need not be read. */
  readonly kept: number;
}

/** What it costs, in tokens, to lie apart from all others: a pass over all weights more at every step. */
const APART_COST_TOKENS = 256;
/** For each place between that has to be filled at every step; llama.cpp's adapter fills at most three. */
const FILLED_COST_TOKENS = 32;
const FILLED_MAX = 3;

type Joining = Pick<PlannedSequence, 'tokens' | 'reusable'>;
type Costs = Pick<StepLimits, 'copyCostTokens' | 'cutsAnywhere' | 'tileTokens'>;

/**
 * The free place where it is cheapest to put a sequence.
 *
 * Everything is counted in tokens that would have to be read: those of the sequence that no place holds; a copy, when
 * the longest beginning lies elsewhere; what other sequences might have found in the place that is overwritten; and
 * what it costs at every step to lie apart from those who run (docs/concepts/engine.md: llama.cpp works on places in a
 * row together). So a conversation that goes on finds its own place; a new one with the same system prompt copies it
 * and leaves the old conversation alone; and under load the places stay in a row.
 */
export function choosePlace(
  sequence: Joining,
  places: readonly PlaceContents[],
  taken: ReadonlySet<number>,
  costs: Costs,
): Seat {
  const shared = places.map((contents) => reusableFrom(contents, sequence, costs.cutsAnywhere));
  const longest = indexOfMost(shared);
  const worth = worthOf(places, taken);
  let best: { readonly seat: Seat; readonly cost: number } | undefined;
  const consider = (seat: Seat, cost: number) => {
    if (best === undefined || cost < best.cost) best = { seat, cost };
  };
  for (const [place, { held }] of places.entries()) {
    if (taken.has(place)) continue;
    const apart = apartCost(place, taken);
    const here = shared[place]!;
    const lost = held - here;
    consider({ place, copyFrom: undefined, kept: here }, apart - here + lost * worth(place));
    const there = shared[longest]!;
    if (there <= here) continue;
    // The whole of what the place holds goes: a copy replaces it.
    consider({ place, copyFrom: longest, kept: there }, apart - there + costs.copyCostTokens + held * worth(place));
  }
  if (best === undefined) throw new Error('No place is free; claim one before choosing it.');
  return { ...best.seat, kept: keptForTile(best.seat.kept, sequence.tokens.length, costs) };
}

/** Fewer than these are read quickly one by one; behind less than that, one by one is no matter. */
const TILE_WORTH_TOKENS_MIN = 8;
const TILE_BEHIND_TOKENS_MIN = 256;

/**
 * Where a whole tile is read sooner than a part of one, a part of what could be kept is read again, to fill it. One more
 * than a tile: beside others, llama.cpp reads the first token of each sequence in a pass of its own.
 */
function keptForTile(kept: number, length: number, { tileTokens = 0, cutsAnywhere }: Costs): number {
  const rest = length - kept;
  if (!cutsAnywhere || rest < TILE_WORTH_TOKENS_MIN || rest > tileTokens || kept < TILE_BEHIND_TOKENS_MIN) return kept;
  return length - tileTokens - 1;
}

/** How many tokens `tokens` and the first `held` of `others` have in common at their beginning. */
export function commonPrefix(others: readonly number[], held: number, tokens: readonly number[]): number {
  const most = Math.min(held, tokens.length);
  let length = 0;
  while (length < most && others[length] === tokens[length]) length++;
  return length;
}

function reusableFrom({ tokens, held }: PlaceContents, sequence: Joining, cutsAnywhere: boolean): number {
  const shared = Math.min(commonPrefix(tokens, held, sequence.tokens), sequence.reusable);
  return cutsAnywhere || shared === held ? shared : 0;
}

function indexOfMost(counts: readonly number[]): number {
  let most = 0;
  for (const [index, count] of counts.entries()) if (count > counts[most]!) most = index;
  return most;
}

/**
 * How likely it is that somebody will ask for what a place holds: nobody can know, but what was used last is the likeliest
 * to be used again. A half for the latest, a third for the one before it, and so on.
 */
function worthOf(places: readonly PlaceContents[], taken: ReadonlySet<number>): (place: number) => number {
  const latestFirst = [...places.keys()]
    .filter((place) => !taken.has(place) && places[place]!.held > 0)
    .sort((a, b) => places[b]!.lastUsed - places[a]!.lastUsed);
  const ranks = new Map(latestFirst.map((place, rank) => [place, rank]));
  return (place) => 1 / (2 + (ranks.get(place) ?? 0));
}

function apartCost(place: number, taken: ReadonlySet<number>): number {
  if (taken.size === 0) return 0;
  if (taken.has(place - 1) && taken.has(place + 1)) return 0;
  let gap = Number.POSITIVE_INFINITY;
  for (const other of taken) gap = Math.min(gap, Math.abs(other - place) - 1);
  if (gap === 0) return 1; // Rather between two others than at the end of the row.
  return gap <= FILLED_MAX ? gap * FILLED_COST_TOKENS : APART_COST_TOKENS;
}
