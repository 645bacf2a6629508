import { InferenceError } from '@millrace/contracts';

export interface WaitingLineLimits {
  /** Requests that the upstream works on at a time. */
  readonly concurrentMax: number;
  /** Requests that may wait for their turn. */
  readonly queueMax: number;
}

/** Leave to ask the upstream; `release` may be called again. */
export interface Permit {
  /** Whole, as the protocol between gateway and worker wants it. */
  readonly waitedMs: number;
  release(): void;
}

interface Waiting {
  readonly priority: number;
  admit(): void;
  fail(error: unknown): void;
}

/**
 * Lets so many requests through to an upstream at a time; others wait their turn, the higher priority first and among
 * equals who came first.
 *
 * Ownership: a permit is released once, by whoever has it. A request that leaves while it waits takes no turn.
 */
export class WaitingLine {
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #closedBy: InferenceError | undefined;

  constructor(private readonly limits: WaitingLineLimits) {}

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws InferenceError `rate_limit_exceeded` when nobody else may wait; what `signal` was aborted with. */
  async enter(priority: number, signal: AbortSignal): Promise<Permit> {
    signal.throwIfAborted();
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#running < this.limits.concurrentMax) return this.#permit(0);
    this.#checkRoom();
    const since = performance.now();
    await this.#turn(priority, signal);
    return this.#permit(Math.ceil(performance.now() - since), true);
  }

  /** Fails all that wait, and lets nobody in. Who is through stays so. */
  close(error: InferenceError): void {
    this.#closedBy = error;
    for (const waiting of this.#waiting.splice(0)) waiting.fail(error);
  }

  #checkRoom(): void {
    const { queueMax, concurrentMax } = this.limits;
    if (this.#waiting.length < queueMax) return;
    throw new InferenceError(
      'rate_limit_exceeded',
      `${this.#running} answers of this model run and ${this.#waiting.length} wait; ${concurrentMax} may run and ${queueMax} wait. Retry shortly.`,
      { retryAfterSeconds: 1, limit: 'queue' },
    );
  }

  #turn(priority: number, signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        priority,
        admit: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
        fail: (error) => {
          signal.removeEventListener('abort', leave);
          reject(error);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      const behind = this.#waiting.findIndex((other) => other.priority < priority);
      this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, waiting);
    });
  }

  /** @param counted the place was handed on by who had it, and never became free in between. */
  #permit(waitedMs: number, counted = false): Permit {
    if (!counted) this.#running++;
    let released = false;
    return {
      waitedMs,
      release: () => {
        if (released) return;
        released = true;
        const next = this.#waiting.shift();
        if (next === undefined) this.#running--;
        else next.admit();
      },
    };
  }
}
