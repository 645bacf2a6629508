/** After the store failed: how long nobody asks it. */
const STORE_RETRY_MS = 1_000;

/** Of one operation of the store. */
export class StoreTrouble {
  #untilMs = Number.NEGATIVE_INFINITY;
  #lasts = false;

  /** Whether nobody should try just now. Whoever asks first afterwards tries it out, and the others go on without until it is known. */
  keepsAway(): boolean {
    if (performance.now() < this.#untilMs) return true;
    if (this.#lasts) this.#untilMs = performance.now() + STORE_RETRY_MS;
    return false;
  }

  /** @returns whether it is new. */
  began(): boolean {
    const isNew = !this.#lasts;
    this.#lasts = true;
    this.#untilMs = performance.now() + STORE_RETRY_MS;
    return isNew;
  }

  /** @returns whether there was any. */
  ended(): boolean {
    const lasted = this.#lasts;
    this.#lasts = false;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    return lasted;
  }
}
