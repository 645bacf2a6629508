/** Two neighbouring bounds are so far apart, and so no percentile is further off. */
const GROWTH = 1.01;
const LEAST_MS = 0.001;
/** Beyond an hour between two tokens it does not matter how much. */
const MOST_MS = 3_600_000;
const BUCKETS = Math.ceil(Math.log(MOST_MS / LEAST_MS) / Math.log(GROWTH)) + 1;

/**
 * Times between tokens, of which there are as many as tokens: counted in buckets, since a long run would have millions.
 * Percentiles are right to 1 %.
 */
export class GapHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #all = 0;

  add(ms: number): void {
    const bucket = Math.ceil(Math.log(Math.max(ms, LEAST_MS) / LEAST_MS) / Math.log(GROWTH));
    this.#counts[Math.min(bucket, BUCKETS - 1)]! += 1;
    this.#all += 1;
  }

  /** Nearest rank, as the upper bound of its bucket; undefined: nothing was counted. */
  percentile(percent: number): number | undefined {
    if (this.#all === 0) return undefined;
    let left = Math.max(1, Math.ceil((percent / 100) * this.#all));
    const bucket = this.#counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    return LEAST_MS * GROWTH ** bucket;
  }
}
