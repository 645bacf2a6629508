/** Kinds of prompts that are remembered. */
const KINDS_MAX = 10_000;
/** What there is of a kind is averaged over about so long: how wide it spreads must not change with every burst. */
const AVERAGED_MS = 30_000;
/** A kind gets room for so many times what it has out: its workers carry other kinds as well. */
const HEADROOM = 4;
/** So many workers at least. */
const WORKERS_MIN = 4;

interface Kind {
  out: number;
  mean: number;
  atMs: number;
  narrowing: number;
}

/** How much of each kind of prompt is out, and which part of the workers it needs for that. */
export class KindLoad {
  /** A Map iterates in insertion order, so putting back what is used keeps the oldest first. */
  readonly #kinds = new Map<number, Kind>();

  get size(): number {
    return this.#kinds.size;
  }

  /** @param sequences negative when they come back. */
  add(anchor: number, sequences: number, nowMs: number): void {
    const known = this.#kinds.get(anchor);
    // One that was forgotten in the meantime has nothing to give back.
    if (known === undefined && sequences < 0) return;
    const kind = known ?? { out: 0, mean: 0, atMs: nowMs, narrowing: 32 };
    const weight = 1 - Math.exp((kind.atMs - nowMs) / AVERAGED_MS);
    kind.mean += weight * (kind.out - kind.mean);
    kind.atMs = nowMs;
    kind.out = Math.max(0, kind.out + sequences);
    this.#kinds.delete(anchor);
    this.#kinds.set(anchor, kind);
    if (this.#kinds.size > KINDS_MAX) this.#kinds.delete(this.#kinds.keys().next().value!);
  }

  /**
   * Its part of the ring is 2 ** -narrowing. It follows the load from double to double, and only when that is more than twice off: a
   * gateway that has a little more of it than another should still come to the same.
   *
   * @param each sequences that this gateway has out with one worker, on the average.
   */
  narrowingOf(anchor: number, each: number, workers: number): number {
    const kind = this.#kinds.get(anchor);
    const wanted = Math.max(WORKERS_MIN, (HEADROOM * (kind?.mean ?? 0)) / Math.max(each, 1));
    const narrowest = Math.max(0, Math.floor(Math.log2(workers / wanted)));
    if (kind === undefined) return narrowest;
    if (narrowest < kind.narrowing || narrowest > kind.narrowing + 1) kind.narrowing = narrowest;
    return kind.narrowing;
  }
}
