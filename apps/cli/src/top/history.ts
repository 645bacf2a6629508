import { GATEWAY } from './metric-names.js';
import { between, type Interval, type Reading, valueIn } from './reading.js';

/** A sparkline is no longer, and older readings are forgotten. */
const READINGS_MAX = 60;

/** One step of the history. */
export interface Moment {
  readonly interval: Interval;
  readonly running: number;
  readonly waiting: number;
}

/** The readings of the last time, from the oldest to the newest. */
export class History {
  readonly #readings: Reading[] = [];
  readonly #moments: Moment[] = [];

  constructor(private readonly windowMs: number) {}

  add(reading: Reading): void {
    const before = this.#readings.at(-1);
    this.#readings.push(reading);
    if (before !== undefined) this.#moments.push(momentOf(before, reading));
    if (this.#readings.length > READINGS_MAX) this.#readings.shift();
    if (this.#moments.length >= READINGS_MAX) this.#moments.shift();
  }

  get latest(): Reading | undefined {
    return this.#readings.at(-1);
  }

  /** Since the reading before; undefined: there was none. */
  get now(): Moment | undefined {
    return this.#moments.at(-1);
  }

  get moments(): readonly Moment[] {
    return this.#moments;
  }

  /** Over the window, or as much of it as there is: percentiles of two seconds would be those of a few requests. */
  get window(): { readonly interval: Interval; readonly seconds: number } | undefined {
    const latest = this.latest;
    const first = this.#readings.find(({ atMs }) => latest !== undefined && latest.atMs - atMs <= this.windowMs);
    if (latest === undefined || first === undefined) return undefined;
    const from = first === latest ? this.#readings.at(-2) : first;
    return from && { interval: between(from, latest), seconds: Math.round((latest.atMs - from.atMs) / 1_000) };
  }
}

function momentOf(before: Reading, after: Reading): Moment {
  return {
    interval: between(before, after),
    running: valueIn(after.metrics, GATEWAY.running),
    waiting: valueIn(after.metrics, GATEWAY.waiting),
  };
}
