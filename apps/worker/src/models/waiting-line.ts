import { InferenceError } from '@millrace/contracts';

/** How a request waits for its model. */
export interface WaitTerms {
  /** Milliseconds from now. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A request that waits. */
interface Waiter<Turn> {
  readonly sinceMs: number;
  admit(turn: Turn): void;
  refuse(error: unknown): void;
}

/**
 * Requests that wait for one model, in the order in which they came.
 *
 * Ownership: a waiter leaves the line exactly once: admitted, refused, too late or no longer wanted.
 */
export class WaitingLine<Turn> {
  readonly #waiters = new Set<Waiter<Turn>>();

  /** @param onLeft called when one leaves by itself. */
  constructor(private readonly onLeft: () => void) {}

  get length(): number {
    return this.#waiters.size;
  }

  /** Since when the first one waits, by `performance.now()`; undefined when nobody does. */
  get sinceMs(): number | undefined {
    for (const { sinceMs } of this.#waiters) return sinceMs;
    return undefined;
  }

  /**
   * Resolves with what `admitAll` makes, which is the caller's from then on, also if `signal` is aborted in that moment.
   *
   * @param late what to say when the time is up.
   * @throws what `refuseAll` was given, `deadline_exceeded`, or the signal's reason.
   */
  async wait({ deadlineMs, signal }: WaitTerms, late: () => string): Promise<Turn> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<Turn>();
    const waiter: Waiter<Turn> = { sinceMs: performance.now(), admit: turn.resolve, refuse: turn.reject };
    const leave = (error: unknown) => {
      if (!this.#waiters.delete(waiter)) return;
      turn.reject(error);
      this.onLeft();
    };
    const onAbort = () => leave(signal.reason);
    const timer = setTimeout(() => leave(new InferenceError('deadline_exceeded', late())), deadlineMs);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    try {
      return await turn.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** @param makeTurn called for each, in this turn of the event loop. */
  admitAll(makeTurn: () => Turn): void {
    for (const waiter of this.#takeAll()) waiter.admit(makeTurn());
  }

  refuseAll(error: unknown): void {
    for (const waiter of this.#takeAll()) waiter.refuse(error);
  }

  #takeAll(): Waiter<Turn>[] {
    const all = [...this.#waiters];
    this.#waiters.clear();
    return all;
  }
}
