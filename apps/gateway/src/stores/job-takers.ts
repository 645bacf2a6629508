import { setTimeout as sleep } from 'node:timers/promises';
import { Doorbell } from '@millrace/runtime';
import type { TakenJob } from './job-queue.js';

export interface JobSource {
  /** The next job that is due; undefined: there is none. May throw: the store is away. */
  look(): Promise<TakenJob | undefined>;
  /** Nobody wants it any more: it is taken by somebody else, at once. Never throws. */
  giveBack(job: TakenJob): Promise<void>;
}

export interface LookPauses {
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
}

/** After a job was there another may be; then the pauses double, for the store is asked by every gateway. */
export const LOOK_PAUSES: LookPauses = { pauseMsMin: 20, pauseMsMax: 1_000 };

/**
 * Those of this process that wait for a job. The store is asked in turns, since neither PGlite nor a blocked connection tells of news
 * without a price; what this process adds itself, it hears of at once.
 *
 * Ownership: the adapter whose takers they are, which closes it.
 * Concurrency: one look at a time, and only while somebody waits. A job that comes when nobody waits any more is given back.
 */
export class JobTakers {
  readonly #waiting = new Set<(job: TakenJob | undefined) => void>();
  readonly #bell = new Doorbell();
  readonly #closing = new AbortController();
  #looking: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(
    private readonly source: JobSource,
    private readonly pauses: LookPauses = LOOK_PAUSES,
  ) {}

  /** Why the last look failed. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  async take(signal: AbortSignal): Promise<TakenJob | undefined> {
    signal.throwIfAborted();
    if (this.#closing.signal.aborted) return undefined;
    const { promise, resolve, reject } = Promise.withResolvers<TakenJob | undefined>();
    const onAbort = () => {
      this.#waiting.delete(resolve);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(resolve);
    this.#bell.ring();
    this.#looking ??= this.#look();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** There may be a job now. */
  ring(): void {
    this.#bell.ring();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const resolve of this.#waiting) resolve(undefined);
    this.#waiting.clear();
    this.#bell.ring();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { pauseMsMin, pauseMsMax } = this.pauses;
    let pauseMs = pauseMsMin;
    while (this.#waiting.size > 0) {
      const job = await this.#next();
      if (job !== undefined) await this.#hand(job);
      const again = job !== undefined || (await this.#rungWithin(pauseMs));
      pauseMs = again ? pauseMsMin : Math.min(pauseMs * 2, pauseMsMax);
    }
    // In the turn in which nobody was found waiting, so that whoever comes next finds that nobody looks.
    this.#looking = undefined;
  }

  async #next(): Promise<TakenJob | undefined> {
    try {
      const job = await this.source.look();
      this.#trouble = undefined;
      return job;
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  async #hand(job: TakenJob): Promise<void> {
    const [first] = this.#waiting;
    if (first === undefined) return this.source.giveBack(job);
    this.#waiting.delete(first);
    first(job);
  }

  /** Whether it rang. */
  async #rungWithin(ms: number): Promise<boolean> {
    const over = new AbortController();
    const late = sleep(ms, false, { signal: over.signal }).catch(() => false);
    const heard = this.#bell.heard().then(() => true);
    const rung = await Promise.race([heard, late]);
    over.abort();
    // Whoever still listens is called off, since a bell has one listener.
    if (!rung) this.#bell.ring();
    await heard;
    return rung;
  }
}
