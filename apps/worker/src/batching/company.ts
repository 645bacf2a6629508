/**
 * Whether an idle worker should wait a little before its first step, so that those who come at the same time share it.
 *
 * A wait helps only where others do come, and costs a lone user its whole length at every request. So the past decides:
 * it is worth while when the last time that somebody found the worker idle, another followed within `maxWaitMs`.
 */
export class Company {
  #foundIdleAtMs = Number.NEGATIVE_INFINITY;
  #lastCameAtMs = Number.NEGATIVE_INFINITY;
  #expected = false;
  /** Whether somebody came soon after the last one who found the worker idle. */
  #followed = false;

  constructor(private readonly maxWaitMs: number) {}

  /** A sequence has come. `idle`: nobody ran or waited. */
  noteArrival(nowMs: number, idle: boolean): void {
    if (idle) {
      this.#expected = this.#followed;
      this.#followed = false;
      this.#foundIdleAtMs = nowMs;
    } else if (this.#within(nowMs, this.#foundIdleAtMs)) {
      this.#followed = true;
    }
    this.#lastCameAtMs = nowMs;
  }

  /** How long the first step should still wait; 0 to begin at once. */
  waitMs(nowMs: number): number {
    if (!this.#expected) return 0;
    const sinceFirstMs = nowMs - this.#foundIdleAtMs;
    const sinceLastMs = nowMs - this.#lastCameAtMs;
    // Those who come together come close together: a quarter without anybody new, and no more are to be expected.
    return Math.max(0, Math.min(this.maxWaitMs - sinceFirstMs, this.maxWaitMs / 4 - sinceLastMs));
  }

  /** Several answers that one request asks for come in one turn of the event loop, and are no company. */
  #within(laterMs: number, earlierMs: number): boolean {
    const apartMs = laterMs - earlierMs;
    return apartMs > SAME_MOMENT_MS && apartMs <= this.maxWaitMs;
  }
}

const SAME_MOMENT_MS = 0.5;
