/** Tells the gateways that share a database that keys have changed, so that a revoked one is refused everywhere at once. */
export interface KeyNews {
  /** Tells the others. May be lost: they also look every `keyRefreshMs`. Never throws. */
  tell(): Promise<void>;
  /** Calls `listener` whenever another, or this one, has told. Returns what ends it. */
  listen(listener: () => void): () => void;
  close(): Promise<void>;
}
