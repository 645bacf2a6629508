import type { VectorCollection } from '../stores/vector-store.js';

export interface PruneLimits {
  readonly entriesMax: number;
  readonly ageMsMax: number;
  /** Unix milliseconds, as `at` of what is noted. */
  readonly nowMs: number;
}

/** So many of a hundred are left where there were too many, so that the next note does not make it too many again. */
const LEFT_PERCENT = 90;
/** Of halving an age: an hour comes down to a second. */
const HALVINGS_MAX = 12;

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
  for (let times = 0; times < HALVINGS_MAX && late - tooEarly > 1; times++) {
    const middle = Math.floor((tooEarly + late) / 2);
    const older = await collection.count({ at: { below: middle } }, signal);
    if (older < surplus) tooEarly = middle;
    else late = middle;
  }
  await collection.remove({ filter: { at: { below: late } } }, signal);
}
