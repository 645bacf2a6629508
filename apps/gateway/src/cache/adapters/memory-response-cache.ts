import { LRUCache } from 'lru-cache';
import type { ResponseCache, ResponseCacheLimits } from '../response-cache.js';

/** What an entry takes beside its bytes: its key, its place in the table and in the list, the buffer around the bytes. */
const ENTRY_BYTES_EXTRA = 512;
/** How often entries whose time is up are looked for, which nobody asks for any more. */
const PURGE_EVERY_MS = 60_000;

/** In the memory of this gateway: the bytes lie outside of the heap, so that what is kept costs no garbage collection. */
export class MemoryResponseCache implements ResponseCache {
  readonly #entries: LRUCache<string, Uint8Array>;
  readonly #purge: NodeJS.Timeout;

  constructor({ bytesMax, ageMsMax }: ResponseCacheLimits) {
    this.#entries = new LRUCache({
      maxSize: bytesMax,
      sizeCalculation: (entry) => entry.byteLength + ENTRY_BYTES_EXTRA,
      ttl: ageMsMax,
    });
    this.#purge = setInterval(() => this.#entries.purgeStale(), Math.min(PURGE_EVERY_MS, ageMsMax)).unref();
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#entries.get(key);
  }

  async put(key: string, entry: Uint8Array): Promise<void> {
    // Small buffers share their memory with others, all of which stays as long as one of them does.
    const isAlone = entry.byteLength === entry.buffer.byteLength;
    this.#entries.set(key, isAlone ? entry : new Uint8Array(entry));
  }

  async close(): Promise<void> {
    clearInterval(this.#purge);
    this.#entries.clear();
  }
}
