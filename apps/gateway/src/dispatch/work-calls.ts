/** How a call ends, once; what comes later is not heard. */
export interface CallEnd<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/**
 * The calls of one worker that are under way, and what may end them from outside: a caller that no longer wants the
 * result, or the loss of the worker.
 *
 * Ownership: a call is in the set until it ended, which it does exactly once. Ended from outside, it is cancelled too.
 * Concurrency: everything happens in callbacks, none of which awaits.
 */
export class WorkCalls {
  readonly #underWay = new Set<(error: unknown) => void>();

  get size(): number {
    return this.#underWay.size;
  }

  /** Begins a call; `begin` returns what cancels it. */
  run<T>(begin: (end: CallEnd<T>) => () => void, signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise<T>((resolve, reject) => {
      let cancel = () => {};
      const end = (act: () => void) => {
        if (!this.#underWay.delete(giveUp)) return;
        signal.removeEventListener('abort', onAbort);
        act();
      };
      const giveUp = (error: unknown) =>
        end(() => {
          reject(error);
          cancel();
        });
      const onAbort = () => giveUp(signal.reason);
      this.#underWay.add(giveUp);
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        cancel = begin({
          resolve: (value) => end(() => resolve(value)),
          reject: (error) => end(() => reject(error)),
        });
      } catch (error) {
        end(() => reject(error));
      }
    });
  }

  /** The worker is lost. */
  giveUpAll(error: unknown): void {
    for (const giveUp of [...this.#underWay]) giveUp(error);
  }
}
