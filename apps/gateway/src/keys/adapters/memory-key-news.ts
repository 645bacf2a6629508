import type { KeyNews } from '../key-news.js';

/** For one gateway alone: the news never leaves it. */
export class MemoryKeyNews implements KeyNews {
  readonly #listeners = new Set<() => void>();

  async tell(): Promise<void> {
    for (const listener of [...this.#listeners]) listener();
  }

  listen(listener: () => void): () => void {
    // A listener of its own, since the same function may listen twice.
    const heard = () => listener();
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }
}
