import type { Logger } from '@millrace/runtime';

/** Of one; after that it is left to the sweep. */
const ERASE_MS_MAX = 30_000;
/** A stopping gateway does not wait for a store that is silent. */
const CLOSE_MS_MAX = 2_000;

/** What is being removed since nobody wants it any more. What can't be removed now has a row, by which the sweep finds it. */
export class Erasures {
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(private readonly logger: Logger) {}

  /** Never throws, so that it need not be awaited. */
  async run(id: string, erase: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(ERASE_MS_MAX), this.#closing.signal]);
    const erased = erase(signal).catch((error) => {
      this.logger.warn({ error, id }, 'content could not be removed just now; it is tried again');
    });
    this.#running.add(erased);
    await erased;
    this.#running.delete(erased);
  }

  async close(): Promise<void> {
    const timer = setTimeout(() => this.#closing.abort(), CLOSE_MS_MAX);
    await Promise.allSettled(this.#running);
    clearTimeout(timer);
  }
}
