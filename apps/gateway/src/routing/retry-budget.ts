export interface RetryLimits {
  /** Retries for each hundred requests. */
  readonly retryPercent: number;
  /** Retries each second, however few requests there are. */
  readonly retriesPerSecondMin: number;
}

/** What was not used is saved for so long: a worker that dies takes many requests with it at once. */
const SAVED_SECONDS = 10;
/** Of what requests earn, so many retries are saved at most. */
const EARNED_MAX = 100;

/**
 * Whether one more retry is allowed: a few each second, and some for each hundred requests. Without a bound, a failure of many
 * workers would have every request asked several times, of the workers that are left.
 */
export class RetryBudget {
  /** Given by the second, whatever comes. */
  #given: number;
  #givenAtMs: number;
  /** Earned by requests, in hundredths: whole numbers add up exactly. */
  #earned = 0;

  constructor(
    private readonly limits: RetryLimits,
    nowMs: number,
  ) {
    this.#given = limits.retriesPerSecondMin * SAVED_SECONDS;
    this.#givenAtMs = nowMs;
  }

  /** A request is asked for the first time. */
  earn(): void {
    this.#earned = Math.min(100 * EARNED_MAX, this.#earned + this.limits.retryPercent);
  }

  /** Takes one retry; false: there is none. */
  take(nowMs: number): boolean {
    const { retriesPerSecondMin } = this.limits;
    const since = Math.max(0, nowMs - this.#givenAtMs) / 1000;
    this.#given = Math.min(retriesPerSecondMin * SAVED_SECONDS, this.#given + since * retriesPerSecondMin);
    this.#givenAtMs = nowMs;
    if (this.#given >= 1) this.#given--;
    else if (this.#earned >= 100) this.#earned -= 100;
    else return false;
    return true;
  }
}
