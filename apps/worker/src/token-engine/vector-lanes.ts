/**
 * A few things that one at a time may use, such as the contexts of an engine, and who waits for one: first come, first
 * served.
 */
export class VectorLanes<T> {
  readonly #free: T[];
  readonly #waiting = new Set<(lane: T) => void>();

  constructor(lanes: readonly T[]) {
    this.#free = [...lanes];
  }

  /**
   * A lane of one's own, to be handed to `give` when done.
   *
   * @throws what `signal` was aborted with.
   */
  async take(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const free = this.#free.pop();
    if (free !== undefined) return free;
    return new Promise<T>((resolve, reject) => {
      const taken = (lane: T) => {
        signal.removeEventListener('abort', left);
        resolve(lane);
      };
      const left = () => {
        this.#waiting.delete(taken);
        reject(signal.reason);
      };
      this.#waiting.add(taken);
      signal.addEventListener('abort', left, { once: true });
    });
  }

  give(lane: T): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free.push(lane);
      return;
    }
    this.#waiting.delete(next);
    next(lane);
  }
}
