import { MINUTE_MS } from './rate-limiter.js';

/** What was used within one second of the clock. */
interface Cell {
  readonly second: number;
  /** Of the last use in it: the cell counts until a minute after that, so nothing leaves too early. */
  lastMs: number;
  count: number;
}

/**
 * What was used in the last 60 seconds, remembered by the second: at most 61 cells, however large the limit is.
 *
 * In no 60 seconds is more used than the largest sum that was ever let through; and whatever an exact log of every use would let
 * through is let through here at most a second later.
 */
export class MinuteWindow {
  /** Oldest first. */
  readonly #cells: Cell[] = [];
  #sum = 0;

  used(nowMs: number): number {
    this.#forget(nowMs);
    return this.#sum;
  }

  add(nowMs: number, count: number): void {
    const second = secondOf(nowMs);
    const newest = this.#cells.at(-1);
    this.#sum += count;
    if (newest === undefined || newest.second < second) {
      this.#cells.push({ second, lastMs: nowMs, count });
      return;
    }
    // The same second; or a clock that was put back, and then it leaves with what came later.
    newest.count += count;
    newest.lastMs = Math.max(newest.lastMs, nowMs);
  }

  /** Changes what was added at `atMs`. If that has left the window, nothing is to be changed. */
  correct(atMs: number, by: number): void {
    const cell = this.#cells.find(({ second }) => second === secondOf(atMs));
    if (cell === undefined) return;
    const count = Math.max(0, cell.count + by);
    this.#sum += count - cell.count;
    cell.count = count;
  }

  /** Until at most `target` is used, if nothing is added meanwhile. */
  waitMs(nowMs: number, target: number): number {
    let left = this.used(nowMs);
    if (left <= target) return 0;
    for (const { lastMs, count } of this.#cells) {
      left -= count;
      if (left <= target) return leavesInMs(lastMs, nowMs);
    }
    return 0;
  }

  /** Until nothing is used any more. */
  resetMs(nowMs: number): number {
    this.#forget(nowMs);
    const newest = this.#cells.findLast(({ count }) => count > 0);
    return newest === undefined ? 0 : leavesInMs(newest.lastMs, nowMs);
  }

  #forget(nowMs: number): void {
    while (this.#cells.length > 0 && !counts(this.#cells[0]!.lastMs, nowMs)) {
      this.#sum -= this.#cells.shift()!.count;
    }
  }
}

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}

/** Whether something used at `lastMs` counts. What lies far ahead was written before the clock was put right. */
function counts(lastMs: number, nowMs: number): boolean {
  return lastMs > nowMs - MINUTE_MS && lastMs <= nowMs + MINUTE_MS;
}

/** At most a minute, also where the clock was put back a little. */
function leavesInMs(lastMs: number, nowMs: number): number {
  return Math.min(MINUTE_MS, lastMs + MINUTE_MS - nowMs);
}
