/** A model that is loaded. */
export interface Resident {
  readonly id: string;
  /** What it was planned with; 0 for one that runs elsewhere. */
  readonly bytes: number;
  /** Answers and calls that use it. */
  readonly inUse: number;
  readonly lastUsedAtMs: number;
  readonly loadedAtMs: number;
  /** Before that it is not unloaded for the sake of another. */
  readonly staysUntilMs: number;
}

export interface RoomWish {
  readonly residents: readonly Resident[];
  /** What the model that is to be loaded needs. */
  readonly neededBytes: number;
  /** What it may take now. */
  readonly freeBytes: number;
  /** What all models together may take. */
  readonly usableBytes: number;
  readonly nowMs: number;
}

export type RoomPlan =
  /** It may be loaded now. */
  | { readonly kind: 'fits' }
  /** These are not in use: unload them, and ask again. */
  | { readonly kind: 'unload'; readonly ids: readonly string[] }
  /** These take nobody new; ask again when one of them is used no longer, and at `againAtMs` if it is there. */
  | { readonly kind: 'wait'; readonly leaving: readonly string[]; readonly againAtMs: number | undefined }
  /** Not even if everything else were unloaded. */
  | { readonly kind: 'never'; readonly mayUseBytes: number };

/**
 * Decides what has to go so that a model can be loaded, and changes nothing.
 *
 * Those that nobody uses go first, the one that was used longest ago before the others. If that is not enough, those that
 * are in use leave, the one that was loaded longest ago first: under steady load each is used all the time, and only the
 * turns tell them apart. One that leaves takes nobody new, so that it is free after the longest of its answers.
 *
 * A model stays a while before it goes, whether it is used or not; else two models that are asked for in turn would be
 * loaded for every single request. Nobody is left waiting by that: a stay ends, answers end, and as long as the same model
 * waits, the order of those in use stays what it is.
 */
export function planRoom(wish: RoomWish): RoomPlan {
  const { neededBytes, freeBytes, usableBytes, nowMs } = wish;
  if (neededBytes > usableBytes) return { kind: 'never', mayUseBytes: usableBytes };
  if (neededBytes <= freeBytes) return { kind: 'fits' };
  const going = chooseGoing(wish);
  if (going === undefined) return { kind: 'never', mayUseBytes: freeBytes + bytesOf(wish.residents) };
  const ready = going.filter((resident) => resident.staysUntilMs <= nowMs);
  const idle = ready.filter(({ inUse }) => inUse === 0);
  if (idle.length > 0) return { kind: 'unload', ids: idsOf(idle) };
  return { kind: 'wait', leaving: idsOf(ready), againAtMs: nextEndOfStay(wish) };
}

/** As few as are enough, in the order in which they should go; undefined when all of them are not enough. */
function chooseGoing({ residents, neededBytes, freeBytes, nowMs }: RoomWish): readonly Resident[] | undefined {
  const lackingBytes = neededBytes - freeBytes;
  const inOrder = residents.filter(({ bytes }) => bytes > 0).sort((one, other) => before(one, other, nowMs));
  const going: Resident[] = [];
  let surplusBytes = -lackingBytes;
  for (const resident of inOrder) {
    if (surplusBytes >= 0) break;
    going.push(resident);
    surplusBytes += resident.bytes;
  }
  if (surplusBytes < 0) return undefined;
  // A small one that was taken first may not be needed beside a large one that came later.
  return going.filter(({ bytes }) => {
    if (bytes > surplusBytes) return true;
    surplusBytes -= bytes;
    return false;
  });
}

function before(one: Resident, other: Resident, nowMs: number): number {
  return rankOf(one, nowMs) - rankOf(other, nowMs) || sinceMs(one) - sinceMs(other);
}

/** Unused, in use, and last those that still stay. */
function rankOf({ inUse, staysUntilMs }: Resident, nowMs: number): number {
  if (staysUntilMs > nowMs) return 2;
  return inUse === 0 ? 0 : 1;
}

function sinceMs({ inUse, lastUsedAtMs, loadedAtMs }: Resident): number {
  return inUse === 0 ? lastUsedAtMs : loadedAtMs;
}

function nextEndOfStay({ residents, nowMs }: RoomWish): number | undefined {
  const ends = residents.map(({ staysUntilMs }) => staysUntilMs).filter((end) => end > nowMs);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

function bytesOf(residents: readonly Resident[]): number {
  return residents.reduce((sum, { bytes }) => sum + bytes, 0);
}

function idsOf(residents: readonly Resident[]): string[] {
  return residents.map(({ id }) => id);
}
