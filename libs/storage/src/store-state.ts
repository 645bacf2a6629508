import { ObjectStoreUnavailable } from './object-store.js';

/** What every adapter has to know of itself: whether it is closed, and what went wrong last. */
export class StoreState {
  readonly #closing = new AbortController();
  #trouble: string | undefined;

  get trouble(): string | undefined {
    return this.#trouble;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * @param words for whatever the store itself throws; errors that are not its own come back as they are.
   * @param work gets a signal that is aborted when the store is closed, too.
   */
  async run<T>(
    signal: AbortSignal,
    words: (error: unknown) => unknown,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.closed) throw closedError();
    signal.throwIfAborted();
    try {
      const result = await work(AbortSignal.any([signal, this.#closing.signal]));
      this.#trouble = undefined;
      return result;
    } catch (error) {
      signal.throwIfAborted();
      const told = words(error);
      if (told instanceof ObjectStoreUnavailable && !this.closed) this.#trouble = told.message;
      throw told;
    }
  }

  close(): void {
    this.#closing.abort(closedError());
  }
}

function closedError(): ObjectStoreUnavailable {
  return new ObjectStoreUnavailable('The object store is closed.');
}
