import { machineMemory } from '@millrace/runtime';

/**
 * What the models of this worker may take together, in bytes.
 *
 * What a loaded one was planned with is gone for the next, whether the system shows it as taken yet or not: weights that
 * are mapped from their file, for one, look free for as long as nobody reads them. The system is asked beside that, for
 * others may have taken what was free at the start; the reserve is there for them, so that it is not kept back twice.
 */
export class MemoryBudget {
  readonly #taken = new Map<string, number>();

  /**
   * @param atStartBytes memory that was free before the first model.
   * @param reserveBytes what is left to everything else (`memoryReserveMib`).
   * @param freeNow what the system says that is free.
   */
  constructor(
    readonly atStartBytes: number,
    readonly reserveBytes: number,
    private readonly freeNow: () => number = machineMemory,
  ) {}

  /** Of all models together. */
  get usableBytes(): number {
    return Math.max(0, this.atStartBytes - this.reserveBytes);
  }

  get takenBytes(): number {
    let sum = 0;
    for (const bytes of this.#taken.values()) sum += bytes;
    return sum;
  }

  /** What one more may take now. */
  get freeBytes(): number {
    return Math.max(0, Math.min(this.usableBytes - this.takenBytes, this.freeNow()));
  }

  /** From before a model is opened until it is closed. */
  take(id: string, bytes: number): void {
    this.#taken.set(id, bytes);
  }

  giveBack(id: string): void {
    this.#taken.delete(id);
  }
}
