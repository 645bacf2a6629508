/**
 * Work that need not be done at once, and that survives whoever was at it.
 *
 * A job is taken at least once: it stays until somebody is `done` with it, and whoever takes it has it for `leaseMs`, and for as long
 * again with each `extend`. Where a taker is killed, the job comes again after that. Nobody else has it meanwhile; and whoever comes
 * too late, since another has it by now, is told so. What a job does must therefore be harmless when it is done twice.
 *
 * What was added survives a restart of every gateway. Where the queue's own store loses what it had (a Redis that keeps nothing), its jobs
 * are gone: whoever must not lose any keeps what it needs to add them again, which is harmless while they are there.
 *
 * A store that is away is a `JobQueueUnavailable`; whoever waits in `take` goes on waiting. What the caller did wrong is a `RangeError`.
 */
export interface JobQueue {
  /** How long a job belongs to whoever took it. */
  readonly leaseMs: number;
  /**
   * A job of this id that is there already stays as it is.
   *
   * @throws JobQueueFull. Several who add at the same moment may go beyond the limit together, by as many as they are.
   */
  add(job: NewJob): Promise<void>;
  /**
   * The job that is due and goes first: of the highest priority, and the one added first among equals. Waits until there is one.
   *
   * @returns undefined once the queue is closed. Rejects with the reason of `signal`.
   */
  take(signal: AbortSignal): Promise<TakenJob | undefined>;
  /** The lease begins anew. @returns false: it was over, and the job is, or may be, another's. */
  extend(job: TakenJob): Promise<boolean>;
  /** Removes it. @returns as `extend`. */
  done(job: TakenJob): Promise<boolean>;
  /** Gives it back, to be taken by anybody once the delay is over, behind those of its priority that are there by then. @returns as `extend`. */
  retryLater(job: TakenJob, delayMs: number): Promise<boolean>;
  counts(): Promise<JobCounts>;
  /** What is wrong with it just now, as a sentence; undefined: nothing, as far as the last attempts tell. */
  readonly trouble: string | undefined;
  /** Whoever waits in `take` is answered at once. Jobs that were taken come again when their leases end. */
  close(): Promise<void>;
}

export interface NewJob {
  /** The same work has the same id. Letters, digits, `_`, `.` and `-`. */
  readonly id: string;
  /** At most `PAYLOAD_BYTES_MAX`: what is larger is kept elsewhere, and named here. */
  readonly payload: string;
  /** The higher goes first. A whole number within `PRIORITY_MAX`, of either sign. */
  readonly priority: number;
}

export interface TakenJob {
  readonly id: string;
  readonly payload: string;
  /** Grows each time it is taken: 1 at first. */
  readonly attempt: number;
  /** What tells this taking from every other, for the adapter. */
  readonly ticket: string;
}

export interface JobCounts {
  /** Nobody has them; some perhaps only after a delay. */
  readonly waiting: number;
  /** Somebody has, or had when it was killed. */
  readonly taken: number;
}

export const PAYLOAD_BYTES_MAX = 16 * 1024;
export const PRIORITY_MAX = 1_000_000;
export const DELAY_MS_MAX = 7 * 24 * 3_600_000;
const ID = /^[A-Za-z0-9_.-]{1,200}$/;

/** @throws RangeError */
export function checkJob({ id, payload, priority }: NewJob): void {
  if (!ID.test(id))
    throw new RangeError(
      `${JSON.stringify(id.slice(0, 100))} is no id of a job: 1 to 200 letters, digits, "_", "." and "-".`,
    );
  const bytes = Buffer.byteLength(payload);
  if (bytes > PAYLOAD_BYTES_MAX)
    throw new RangeError(`A job can't carry ${bytes} bytes, but ${PAYLOAD_BYTES_MAX} at most: name what is large.`);
  if (!Number.isSafeInteger(priority) || Math.abs(priority) > PRIORITY_MAX)
    throw new RangeError(`${priority} is no priority: a whole number of at most ${PRIORITY_MAX}, of either sign.`);
}

/** @throws RangeError */
export function checkDelay(delayMs: number): void {
  if (delayMs >= 0 && delayMs <= DELAY_MS_MAX) return;
  throw new RangeError(`A job can't be put off for ${delayMs} ms, but for 0 to ${DELAY_MS_MAX}.`);
}

/** The store of the queue can not be asked just now. */
export class JobQueueUnavailable extends Error {
  override readonly name = 'JobQueueUnavailable';
}

/** As many jobs are there as may be. */
export class JobQueueFull extends Error {
  override readonly name = 'JobQueueFull';
  constructor(
    readonly jobs: number,
    readonly jobsMax: number,
  ) {
    super(`The queue has ${jobs} jobs; ${jobsMax} are allowed. Add it again when some are done.`);
  }
}
