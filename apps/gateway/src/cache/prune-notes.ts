import type { VectorCollection } from '../stores/vector-store.js';

export interface PruneLimits {
  readonly entriesMax: number;
  readonly ageMsMax: number;
  /** Unix milliseconds, as `at` of what is noted. */
  readonly nowMs: number;
}

/** So many of a hundred are left where there were too many, so that the next note does not make it too many again. */
const LEFT_PERCENT = 95;
/** The least by which two moments of one gateway differ, in milliseconds. */
export const MOMENT_MS = 1 / 64;
/** Of halving an age: a month comes down to less than that. */
const HALVINGS_MAX = 40;

/**
 * Takes out what is too old, and where there is too much of the rest, the oldest of it.
 *
 * A store counts what is older than a moment and does not sort, so that moment is looked for by halving. Where more are of one moment than
 * may be at all, they go together: an entry that is gone is a miss.
 */
export async function pruneNotes(
  collection: VectorCollection,
  limits: PruneLimits,
  signal: AbortSignal,
): Promise<void> {
  const { entriesMax, ageMsMax, nowMs } = limits;
  await collection.remove({ filter: { at: { below: nowMs - ageMsMax } } }, signal);
  const count = await collection.count({}, signal);
  if (count <= entriesMax) return;
  const surplus = count - Math.floor((entriesMax * LEFT_PERCENT) / 100);
  let [tooEarly, late] = [nowMs - ageMsMax, nowMs + 1];
  for (let times = 0; times < HALVINGS_MAX && late - tooEarly > MOMENT_MS / 2; times++) {
    const middle = (tooEarly + late) / 2;
    const older = await collection.count({ at: { below: middle } }, signal);
    if (older < surplus) tooEarly = middle;
    else late = middle;
  }
  await collection.remove({ filter: { at: { below: late } } }, signal);
}
