/**
 * What the models of this worker may take together, in bytes.
 *
 * What an open one was planned with is gone for the next, whether the system shows it as taken yet or not: weights that
 * are mapped from their file, for one, look free for as long as nobody reads them.
 */
export class MemoryBudget {
  #takenBytes = 0;

  /**
   * @param freeBytes memory that was free before the first model.
   * @param reserveBytes what is left to everything else (`memoryReserveMib`).
   */
  constructor(
    private readonly freeBytes: number,
    readonly reserveBytes: number,
  ) {}

  get availableBytes(): number {
    return Math.max(0, this.freeBytes - this.#takenBytes);
  }

  /** A model is open that was planned with so much; one that failed to open takes nothing. */
  take(bytes: number): void {
    this.#takenBytes += bytes;
  }
}
