import type { JobQueue, TakenJob } from './job-queue.js';

/** Of a lease, after which it is extended. Twice that may fail. */
const EXTEND_AFTER = 1 / 3;

/**
 * A job that is being done: its lease is extended for as long as that takes.
 *
 * Ownership: whoever holds it disposes of it; then it is extended no more.
 */
export class HeldJob implements Disposable {
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #extendedMs = performance.now();

  constructor(
    private readonly queue: JobQueue,
    readonly job: TakenJob,
  ) {
    this.#timer = setInterval(() => void this.#extend(), queue.leaseMs * EXTEND_AFTER);
  }

  /** Aborts when the lease is over, or may be: another may be at it by now. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #extend(): Promise<void> {
    const askedMs = performance.now();
    try {
      if (await this.queue.extend(this.job)) this.#extendedMs = askedMs;
      else this.#lose();
    } catch {
      // The store is away, which it tells itself. The lease ends there, or does not, without us.
      if (performance.now() - this.#extendedMs >= this.queue.leaseMs) this.#lose();
    }
  }

  #lose(): void {
    clearInterval(this.#timer);
    this.#lost.abort(new Error('The lease of this job is over.'));
  }
}
