import { type ErrorCode, InferenceError, type TimeLimits, timeoutMsOf } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';
import { type EventRoom, type RunOptions, type RunReader, SharedRun } from './shared-run.js';

export interface SharedRunsLimits extends TimeLimits {
  /** What the answer of one run may take while it is held. */
  readonly runBytesMax: number;
  /** What all of them may take together. */
  readonly bytesMax: number;
}

/** What of a run its leader brings along. */
export interface LedRun extends Pick<RunOptions, 'open' | 'onWhole' | 'onOutgrown'> {
  /** The leader's, for which it is computed. */
  readonly priority: number;
}

/** How often one request joins the run of another that then fails; then it runs for itself. */
const FOLLOWED_MAX = 2;

/**
 * Failures that say nothing about the request, so that another run may well succeed. All others are for everybody who asked the same:
 * whoever follows is of the same tenant, and would be refused, or find no worker ready, for the same reason.
 */
const WORTH_ANOTHER_RUN: ReadonlySet<ErrorCode> = new Set(['worker_lost', 'model_failed', 'upstream_failed']);

/** Requests of this gateway that ask the same at the same time: one of them is run, and the others read along. */
export class SharedRuns {
  readonly #runs = new Map<string, SharedRun>();
  readonly #room: EventRoom;
  #heldBytes = 0;

  constructor(private readonly limits: SharedRunsLimits) {
    this.#room = {
      runBytesMax: limits.runBytesMax,
      take: (bytes) => {
        const fits = this.#heldBytes + bytes <= limits.bytesMax;
        if (fits) this.#heldBytes += bytes;
        return fits;
      },
      give: (bytes) => {
        this.#heldBytes -= bytes;
      },
    };
  }

  /** Runs that somebody could join. */
  get size(): number {
    return this.#runs.size;
  }

  /** What their answers take, so far as they have come. */
  get bytes(): number {
    return this.#heldBytes;
  }

  canJoin(key: string, reader: RunReader): boolean {
    return this.#runs.get(key)?.joinableFor(reader.deadline) ?? false;
  }

  /**
   * The answer of the run under `key`, if there is one to join, else of a new one that others can join.
   *
   * A follower to whom nothing has come goes on with another run where the failure says nothing about the request; for the leader, its run
   * was that one try.
   */
  async *answer(key: string, reader: RunReader, led: LedRun): AsyncGenerator<SequenceEvent> {
    for (let followed = 0; ; followed++) {
      const joined = followed < FOLLOWED_MAX && this.canJoin(key, reader) ? this.#runs.get(key) : undefined;
      const run = joined ?? this.#begin(followed < FOLLOWED_MAX ? key : undefined, led);
      if (joined !== undefined) reader.joins();
      let begun = false;
      try {
        for await (const event of run.read(reader, joined === undefined)) {
          begun = true;
          yield event;
        }
        return;
      } catch (error) {
        if (joined === undefined || begun || reader.deadline.signal.aborted || !isWorthAnotherRun(error)) throw error;
      }
    }
  }

  /** The answer of a run that nobody else joins. */
  answerAlone(reader: RunReader, led: LedRun): AsyncGenerator<SequenceEvent> {
    return this.#begin(undefined, led).read(reader, true);
  }

  #begin(key: string | undefined, led: LedRun): SharedRun {
    const run: SharedRun = new SharedRun({
      ...led,
      room: this.#room,
      // Whoever may join has as much time left as such a request ever has, or less.
      timeoutMs: 2 * timeoutMsOf(led.priority, this.limits),
      onOver: () => {
        if (key !== undefined && this.#runs.get(key) === run) this.#runs.delete(key);
      },
    });
    if (key !== undefined) this.#runs.set(key, run);
    return run;
  }
}

function isWorthAnotherRun(error: unknown): boolean {
  return error instanceof InferenceError && WORTH_ANOTHER_RUN.has(error.code);
}
