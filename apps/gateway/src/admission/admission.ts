import { InferenceError } from '@millrace/contracts';
import type { Permit } from '../vocabulary.js';

export interface AdmissionLimits {
  /** Requests that run at a time. */
  readonly maxConcurrentRequests: number;
  /** Requests that may wait for a place. */
  readonly maxQueueDepth: number;
}

/** Clients ignore a Retry-After above a minute (openai-node) or give up on one above two (openai-python). */
const RETRY_AFTER_SECONDS_MAX = 60;
/** How long a place is held, before anything was measured. */
const HELD_MS_AT_FIRST = 1_000;
/** Weight of the newest measurement in the running mean. */
const HELD_MS_WEIGHT = 0.1;

/** A request that asks for a place. */
export interface PlaceAsk {
  /** Requests of the same one wait behind each other: a key's id. */
  readonly keyId: string | undefined;
  /** The model's id. */
  readonly model: string;
  /** Of its body. */
  readonly bytes: number;
  /** The higher goes first. */
  readonly priority: number;
}

type LetIn = (permit: Permit) => void;

/**
 * Places for requests: a bounded number run, a bounded number wait, first come first served.
 *
 * Ownership: a place belongs to the permit that was handed out with it, and comes back when that is disposed of, once.
 * Concurrency: a freed place passes to the longest waiting request in the same turn, without an `await` between, so it
 * is never given twice. A request that is let in and whose signal aborts in the same turn holds a permit all the same.
 */
export class Admission {
  #running = 0;
  #heldMsMean = HELD_MS_AT_FIRST;
  // A Set keeps the order of arrival and forgets from the middle, which clients that leave need.
  readonly #waiting = new Set<LetIn>();

  constructor(private readonly limits: AdmissionLimits) {}

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws InferenceError `rate_limit_exceeded` at once when nobody more may wait, or what `signal` was aborted with. */
  async admit(_ask: PlaceAsk, signal: AbortSignal): Promise<Permit> {
    signal.throwIfAborted();
    if (this.#running < this.limits.maxConcurrentRequests) return this.#take();
    if (this.#waiting.size >= this.limits.maxQueueDepth) throw this.#full();
    return this.#wait(signal);
  }

  #wait(signal: AbortSignal): Promise<Permit> {
    return new Promise((resolve, reject) => {
      const letIn: LetIn = (permit) => {
        signal.removeEventListener('abort', leave);
        resolve(permit);
      };
      const leave = () => {
        this.#waiting.delete(letIn);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.add(letIn);
    });
  }

  #take(): Permit {
    this.#running++;
    const sinceMs = performance.now();
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#release(performance.now() - sinceMs);
      },
    };
  }

  #release(heldMs: number): void {
    this.#running--;
    this.#heldMsMean += HELD_MS_WEIGHT * (heldMs - this.#heldMsMean);
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next(this.#take());
  }

  #full(): InferenceError {
    const { maxConcurrentRequests, maxQueueDepth } = this.limits;
    return new InferenceError(
      'rate_limit_exceeded',
      `${this.#running} requests are running (the limit is ${maxConcurrentRequests}) and ${this.#waiting.size} are waiting (${maxQueueDepth}). Try again later.`,
      { retryAfterSeconds: this.#retryAfterSeconds(), limit: 'queue' },
    );
  }

  /** When the queue as it stands will have been let in, at the pace of late. */
  #retryAfterSeconds(): number {
    const waitMs = ((this.#waiting.size + 1) / this.limits.maxConcurrentRequests) * this.#heldMsMean;
    return Math.min(RETRY_AFTER_SECONDS_MAX, Math.max(1, Math.ceil(waitMs / 1000)));
  }
}
