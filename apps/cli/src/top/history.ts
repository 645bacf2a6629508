import { GATEWAY } from './metric-names.js';
import { between, hasRestarted, type Interval, type Reading, valueIn } from './reading.js';

/** A sparkline is no longer, and older readings are forgotten. */
const MOMENTS_MAX = 60;
/** Of the window, so many are kept, evenly apart: each holds thousands of figures. */
const READINGS_MAX = 30;

/** One step of the history. */
export interface Moment {
  readonly interval: Interval;
  readonly running: number;
  readonly waiting: number;
}

/** The readings of the last time, from the oldest to the newest. */
export class History {
  /** From the oldest; the last is the newest, and what is before it makes the window. */
  #readings: Reading[] = [];
  readonly #moments: Moment[] = [];

  constructor(private readonly windowMs: number) {}

  add(reading: Reading): void {
    const last = this.#readings.at(-1);
    const isNew = last !== undefined && hasRestarted(last, reading);
    // All that it has counted came after the last look, and nothing before can be compared with it.
    const before = isNew ? { ...last, metrics: new Map() } : last;
    if (isNew) this.#readings = [before!];
    this.#dropCrowded(reading.atMs);
    this.#readings.push(reading);
    if (before !== undefined) this.#moments.push(momentOf(before, reading));
    if (this.#moments.length > MOMENTS_MAX) this.#moments.shift();
  }

  /** What the window no longer reaches; and the last, where it is close to the one before. */
  #dropCrowded(nowMs: number): void {
    const [last, beforeLast] = [this.#readings.at(-1), this.#readings.at(-2)];
    const apartMs = this.windowMs / (READINGS_MAX - 2);
    if (last && beforeLast && last.atMs - beforeLast.atMs < apartMs) this.#readings.pop();
    while (this.#readings.length > 1 && nowMs - this.#readings[0]!.atMs > this.windowMs) this.#readings.shift();
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
