import { BACKGROUND_PRIORITY_MAX, InferenceError } from '@millrace/contracts';
import type { EmbeddingObserver } from './embedding-observer.js';

export interface InputQueueLimits {
  /** Inputs that are computed side by side. */
  readonly concurrentMax: number;
  /** Requests that may wait for their turn. */
  readonly queueMax: number;
  /** While somebody waits, one turn in so many is also for requests for which nobody does. */
  readonly backgroundSteps: number;
}

/** What a request wants of each of its inputs. Throws what `signal` was aborted with. */
export type ComputeInput<Result> = (tokens: readonly number[], signal: AbortSignal) => Promise<Result>;

/**
 * Lets the inputs of many requests take their turns: one of each request after another, so that a request of one input
 * need not wait for all of a request of thousands.
 *
 * While requests for which somebody waits have inputs that have not begun, those of other requests are passed over, in all but one turn of
 * `backgroundSteps`; in that one all take turns alike. What is being computed is never interrupted.
 *
 * Ownership: owns a request's inputs until its promise is settled, which happens once. What is still computed for a
 * request that is settled keeps its lane until it ends, and then concerns nobody.
 */
export class InputQueue {
  /** Requests with inputs that have not begun; whose turn is next comes first. */
  #turns: Turn[] = [];
  /** How many went in a row for whom somebody waits, while there were others. */
  #gaveWay = 0;
  #running = 0;
  #closedBy: InferenceError | undefined;

  constructor(
    private readonly limits: InputQueueLimits,
    private readonly observer: EmbeddingObserver,
  ) {}

  /** Inputs that are computed just now. */
  get running(): number {
    return this.#running;
  }

  /** Requests of which nothing is computed just now. */
  get waiting(): number {
    return this.#turns.filter((turn) => turn.running === 0).length;
  }

  /** @throws InferenceError when no request may join; cheap, so ask before work is put into one. */
  checkRoom(inputs: number): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const { queueMax, concurrentMax } = this.limits;
    if (this.#turns.length < queueMax || (this.#turns.length === 0 && this.#running < concurrentMax)) return;
    this.observer.settled('refused', inputs);
    throw new InferenceError(
      'rate_limit_exceeded',
      `${this.#turns.length} requests wait for this model; ${queueMax} may. Retry shortly.`,
      { retryAfterSeconds: 1 },
    );
  }

  /**
   * What `compute` makes of each input, in the order of the inputs.
   *
   * @throws what the first input that fails threw, or what `signal` was aborted with; the rest is then dropped.
   */
  async run<Result>(
    inputs: readonly (readonly number[])[],
    compute: ComputeInput<Result>,
    signal: AbortSignal,
    priority = 0,
  ): Promise<Result[]> {
    signal.throwIfAborted();
    this.checkRoom(inputs.length);
    const results: Result[] = [];
    const turn = new Turn(inputs.length, priority <= BACKGROUND_PRIORITY_MAX, async (index, leaving) => {
      const tokens = inputs[index]!;
      const startedAtMs = performance.now();
      results[index] = await compute(tokens, leaving);
      this.observer.computed(performance.now() - startedAtMs, tokens.length);
    });
    const leave = () => turn.fail(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    this.#turns.push(turn);
    this.#begin();
    try {
      await turn.settled;
      return results;
    } finally {
      signal.removeEventListener('abort', leave);
      this.#turns = this.#turns.filter((each) => each !== turn);
      this.observer.settled('computed', turn.computed);
      this.observer.settled('failed', turn.failed);
      this.observer.settled('dropped', inputs.length - turn.computed - turn.failed);
    }
  }

  /** Fails every request with inputs that have not begun, and lets nothing new in. */
  close(error: InferenceError): void {
    this.#closedBy = error;
    for (const turn of this.#turns) turn.fail(error);
  }

  #begin(): void {
    while (this.#running < this.limits.concurrentMax) {
      const turn = this.#next();
      if (turn === undefined) return;
      this.#running++;
      void turn.next().then(() => {
        this.#running--;
        this.#begin();
      });
      if (turn.hasMore) this.#turns.push(turn);
    }
  }

  #next(): Turn | undefined {
    this.#turns = this.#turns.filter(({ over }) => !over);
    const givesWay = this.#gaveWay + 1 < this.limits.backgroundSteps;
    const awaited = givesWay ? this.#turns.findIndex(({ background }) => !background) : 0;
    const [next] = this.#turns.splice(Math.max(0, awaited), 1);
    if (next?.background) this.#gaveWay = 0;
    else if (this.#turns.some(({ background }) => background)) this.#gaveWay++;
    return next;
  }
}

/** One request's inputs. Settled once: by its last input, by the first that fails, or by whoever gives it up. */
class Turn {
  running = 0;
  computed = 0;
  failed = 0;
  #begun = 0;
  #over = false;
  readonly #leaving = new AbortController();
  readonly #settled = Promise.withResolvers<void>();

  constructor(
    private readonly inputs: number,
    /** Nobody waits for it: see `BACKGROUND_PRIORITY_MAX`. */
    readonly background: boolean,
    private readonly compute: (index: number, leaving: AbortSignal) => Promise<void>,
  ) {
    if (inputs === 0) this.#settle();
  }

  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  get over(): boolean {
    return this.#over;
  }

  get hasMore(): boolean {
    return !this.#over && this.#begun < this.inputs;
  }

  fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#settled.reject(error);
    this.#leaving.abort(error);
  }

  /** The next input. Never rejects. */
  async next(): Promise<void> {
    this.running++;
    try {
      await this.compute(this.#begun++, this.#leaving.signal);
      if (this.#over) return;
      this.computed++;
      if (this.computed === this.inputs) this.#settle();
    } catch (error) {
      if (!this.#over) this.failed++;
      this.fail(error);
    } finally {
      this.running--;
    }
  }

  #settle(): void {
    this.#over = true;
    this.#settled.resolve();
  }
}
