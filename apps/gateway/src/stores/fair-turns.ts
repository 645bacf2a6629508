/**
 * Lets a few at a time do something, the others one after another in the order in which they came.
 *
 * Concurrency: a turn lasts until whoever has it gives it back; to do so twice changes nothing.
 */
export class FairTurns {
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(
    private readonly atOnceMax: number,
    private readonly waitingMax: number,
    /** Thrown where more would wait. */
    private readonly refuse: (waiting: number) => Error,
  ) {}

  /** @returns what gives it back. @throws the reason of `signal`. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#taken < this.atOnceMax) this.#taken++;
    else await this.#wait(signal);
    let isGivenBack = false;
    return () => {
      if (isGivenBack) return;
      isGivenBack = true;
      this.#giveBack();
    };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.waitingMax) throw this.refuse(this.#waiting.size);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      // Whoever has been called already has a turn, and gives it back.
      if (this.#waiting.delete(resolve)) reject(signal.reason);
    };
    this.#waiting.add(resolve);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** A Set iterates in the order of insertion: the first has waited longest. */
  #giveBack(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#taken--;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
