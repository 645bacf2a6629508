/** What is let in. */
interface Waiter {
  readonly letIn: () => void;
  /** Only when nothing runs, and nothing else until it has ended. */
  readonly alone: boolean;
}

/** How busy this gateway is with those who wait for their answers. */
export interface InteractiveLoad {
  readonly running: number;
  readonly waiting: number;
}

export interface GateLimits {
  /** Lines that this gateway has running at a time. */
  readonly batchConcurrency: number;
  /** The same while somebody waits for an answer: else a gateway that is never idle would never get a batch done. */
  readonly batchConcurrencyBeside: number;
}

/** After somebody was answered: the next request of a conversation, or of a crowd, comes within this time as often as not. */
const QUIET_MS = 1_000;
/** How long a line is held back at most while requests wait for a place. */
const HELD_BACK_MS_MAX = 2_000;
/** Between two looks at what has changed without a word: somebody has left, and it has been quiet since. */
const LOOK_MS = 25;

/** How many lines may run now. Pure, so that what gives way to whom stands in one place. */
export function linesAllowed(
  { running, waiting }: InteractiveLoad,
  quietMs: number,
  heldBackMs: number,
  { batchConcurrency, batchConcurrencyBeside }: GateLimits,
): number {
  if (running === 0 && waiting === 0 && quietMs >= QUIET_MS) return batchConcurrency;
  if (waiting > 0 && heldBackMs < HELD_BACK_MS_MAX) return 0;
  return Math.min(batchConcurrencyBeside, batchConcurrency);
}

/**
 * Which lines of batches may run, of all that this gateway is at: few at a time, and hardly any while somebody waits for an answer. A line
 * that runs is never stopped for that; it ends soon enough, and then gives way.
 *
 * Concurrency: who waits is let in in its turn, as places are free and become free; the load is looked at every few milliseconds meanwhile.
 */
export class LineGate {
  #running = 0;
  #busyAtMs = Number.NEGATIVE_INFINITY;
  #letInAtMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** One runs that wants no others beside it. */
  #runsAlone = false;
  readonly #waiting = new Set<Waiter>();

  constructor(
    private readonly limits: GateLimits,
    private readonly load: () => InteractiveLoad,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#letInAtMs = clock();
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Leave to run a line. Whoever gets it disposes of it. Rejects with the reason of `signal`.
   *
   * @param alone whether no other line of this gateway may run meanwhile: those that come later wait for it.
   */
  async enter(signal: AbortSignal, { alone = false } = {}): Promise<Disposable> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const letIn = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiter = { letIn, alone };
      const onAbort = () => {
        this.#waiting.delete(waiter);
        reject(signal.reason);
        this.#letIn();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      this.#letIn();
    });
    return this.#permit();
  }

  #permit(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#running--;
        this.#runsAlone = false;
        this.#letIn();
      },
    };
  }

  #letIn(): void {
    clearTimeout(this.#timer);
    const nowMs = this.clock();
    const load = this.load();
    if (load.running + load.waiting > 0) this.#busyAtMs = nowMs;
    if (this.#waiting.size === 0) return;
    const allowed = linesAllowed(load, nowMs - this.#busyAtMs, nowMs - this.#letInAtMs, this.limits);
    for (const waiter of this.#waiting) {
      if (this.#running >= allowed || this.#runsAlone || (waiter.alone && this.#running > 0)) break;
      this.#running++;
      this.#runsAlone = waiter.alone;
      this.#letInAtMs = nowMs;
      this.#waiting.delete(waiter);
      waiter.letIn();
    }
    // Also while nothing of ours ends: it may have become quiet.
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#letIn(), LOOK_MS);
  }
}
