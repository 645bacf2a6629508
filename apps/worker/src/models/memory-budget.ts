/**
 * What the models of this worker may take together, in bytes.
 *
 * What one was promised is gone for the next, whether the system shows it as taken yet or not: weights that are mapped
 * from their file, for one, look free for as long as nobody reads them.
 */
export class MemoryBudget {
  #promisedBytes = 0;

  /**
   * @param freeBytes memory that was free before the first model.
   * @param reserveBytes what is left to everything else (`memoryReserveMib`).
   */
  constructor(
    private readonly freeBytes: number,
    readonly reserveBytes: number,
  ) {}

  get availableBytes(): number {
    return Math.max(0, this.freeBytes - this.#promisedBytes);
  }

  promise(bytes: number): void {
    this.#promisedBytes += bytes;
  }
}
