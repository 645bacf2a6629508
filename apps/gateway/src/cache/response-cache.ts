/**
 * Where answers are kept: bytes under a key, for a while.
 *
 * It may forget anything at any time. What it gives back is what was put last under that key, whole, or nothing. Together its entries take
 * no more than it was given, keys and what it needs beside them included; the one that was not asked for in the longest time goes first.
 */
export interface ResponseCache {
  /** @throws Error when it can not be asked just now, within the time that it was given. */
  get(key: string): Promise<Uint8Array | undefined>;
  /**
   * Keeps `entry` in place of what was kept under `key`; one that is larger than all that may be kept is not kept, and what was there is
   * gone. The bytes are the cache's from here on.
   *
   * @throws Error as `get`: then nobody knows what is kept under `key`, but it is the old entry, the new one, or none.
   */
  put(key: string, entry: Uint8Array): Promise<void>;
  /** What its entries take together, as far as it knows. */
  readonly bytes: number;
  close(): Promise<void>;
}

/** Where nothing may be kept. */
export const NOTHING_KEPT: ResponseCache = {
  get: async () => undefined,
  put: async () => {},
  bytes: 0,
  close: async () => {},
};

export interface ResponseCacheLimits {
  /** Of all entries together. */
  readonly bytesMax: number;
  /** How long an entry is kept, from when it was put. */
  readonly ageMsMax: number;
}
