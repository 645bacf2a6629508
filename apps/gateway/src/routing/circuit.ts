/** So long at most is anybody left alone. */
const OPEN_MS_MAX = 60_000;

export interface CircuitLimits {
  /** Failures one after another that open it. */
  readonly circuitFailures: number;
  /** How long it stays open the first time; each time that the trial fails, twice as long, up to a minute. */
  readonly circuitOpenMs: number;
}

/**
 * Whether somebody who failed may be asked again. Closed, until it failed so often; open for a while; then one request tries it,
 * and everybody follows if that is answered.
 *
 * What has failed is forgotten when something was done to its end, not when it began: one that begins every answer and breaks off
 * each is no better than one that does not begin.
 */
export class Circuit {
  #failures = 0;
  /** How often it opened since something was done to its end. */
  #opened = 0;
  /** 0: closed. Infinite while it is being tried. */
  #closedUntilTriedMs = 0;
  #untilMs = 0;

  constructor(private readonly limits: CircuitLimits) {}

  /** Nobody but a trial may pass before this time, on the clock that it is told. 0: everybody may. Infinite: it is being tried. */
  get blockedUntilMs(): number {
    return this.#closedUntilTriedMs;
  }

  get open(): boolean {
    return this.#closedUntilTriedMs > 0;
  }

  /** When its time is or was up, also while it is tried: the smaller, the less bad it is. */
  get untilMs(): number {
    return this.#untilMs;
  }

  /** Somebody is sent. If its time was up, this is the trial, and nobody else passes until that has ended. */
  pass(): void {
    if (this.open) this.#closedUntilTriedMs = Number.POSITIVE_INFINITY;
  }

  /** It began to answer. @returns whether that closed it. */
  answered(): boolean {
    const wasOpen = this.open;
    this.#closedUntilTriedMs = 0;
    return wasOpen;
  }

  /** It answered to the end, or for as long as anybody listened. */
  succeeded(): void {
    this.#failures = 0;
    this.#opened = 0;
  }

  /** What was sent has ended, and said nothing either way: its client left. */
  abandoned(): void {
    if (this.#closedUntilTriedMs === Number.POSITIVE_INFINITY) this.#closedUntilTriedMs = this.#untilMs;
  }

  failed(nowMs: number): void {
    this.#failures++;
    // Those that were under way when it opened say nothing new.
    const underWay = this.open && this.#closedUntilTriedMs !== Number.POSITIVE_INFINITY;
    if (underWay || this.#failures < this.limits.circuitFailures) return;
    const { circuitOpenMs } = this.limits;
    this.#untilMs = nowMs + Math.max(circuitOpenMs, Math.min(OPEN_MS_MAX, circuitOpenMs * 2 ** this.#opened));
    this.#closedUntilTriedMs = this.#untilMs;
    this.#opened++;
  }
}
