/**
 * Work that several wait for. It is begun at once, and ended when the last of them has left.
 *
 * Ownership: whoever calls `result` waits until its own signal aborts; the work's signal is nobody else's.
 */
export class Reading<T> {
  readonly #leaving = new AbortController();
  readonly #work: Promise<T>;
  #interested = 0;
  #done = false;
  #failed = false;

  /** @param about what the work is about, for whoever may join. */
  constructor(
    readonly about: unknown,
    work: (signal: AbortSignal) => Promise<T>,
  ) {
    this.#work = work(this.#leaving.signal);
    this.#work.then(
      () => {
        this.#done = true;
      },
      () => {
        this.#failed = true;
      },
    );
  }

  /** Whether it is of no use to those who come now. */
  get failed(): boolean {
    return this.#failed || this.#leaving.signal.aborted;
  }

  /** @throws what the work threw, or the signal's reason. */
  async result(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#interested++;
    const left = Promise.withResolvers<never>();
    const onAbort = () => left.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#work, left.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (--this.#interested === 0 && !this.#done) this.#leaving.abort(signal.reason);
    }
  }
}
