/** Who the workers are just now. Addresses only: what they serve and how full they are, each says itself. */
export interface WorkerDiscovery {
  /**
   * Calls `listener`, which must not throw, with all addresses (`host:port`) once they are known, and again whenever they have
   * changed. Once, and nothing is told before. Whoever can't ask just now tells what it knew last, and never an empty list.
   */
  start(listener: (addresses: readonly string[]) => void): void;
  /** Why it may not know who the workers are, as a sentence; undefined: it knows. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}
