import { setTimeout as sleep } from 'node:timers/promises';
import { ContentFailure } from './measured-content.js';
import { ObjectStoreUnavailable } from './object-store.js';

/** What is running when a store is closed is given so long to end and to tidy up. */
const CLOSE_MS_MAX = 10_000;

/** What every adapter has to know of itself: whether it is closed, and what went wrong last. */
export class StoreState {
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
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
      const result = await this.awaited(work(AbortSignal.any([signal, this.#closing.signal])));
      this.#trouble = undefined;
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ContentFailure) {
        if (this.closed) throw closedError();
        throw error.error;
      }
      const told = words(error);
      if (told instanceof ObjectStoreUnavailable && !this.closed) this.#trouble = told.message;
      throw told;
    }
  }

  /** `close` waits for it, too. */
  async awaited<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(closedError());
    const ended = new AbortController();
    const late = sleep(CLOSE_MS_MAX, undefined, { signal: ended.signal }).catch(() => {});
    // What ends may have begun to tidy up.
    const over = async () => {
      while (this.#running.size > 0) await Promise.allSettled(this.#running);
    };
    await Promise.race([over(), late]);
    ended.abort();
  }
}

function closedError(): ObjectStoreUnavailable {
  return new ObjectStoreUnavailable('The object store is closed.');
}
