import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  checkDelay,
  checkJob,
  type JobCounts,
  type JobQueue,
  JobQueueFull,
  JobQueueUnavailable,
  type NewJob,
  PRIORITY_MAX,
  type TakenJob,
} from '../job-queue.js';
import { JobTakers, LOOK_PAUSES, type LookPauses } from '../job-takers.js';

export interface BullMqJobQueueOptions extends Partial<LookPauses> {
  readonly queue: string;
  /** Of all keys of the queue. */
  readonly prefix: string;
  readonly leaseMs: number;
  readonly jobsMax: number;
  /** How long Redis may take to answer. */
  readonly timeoutMs: number;
}

/** What a taking wants to know of Redis. */
export interface QueueRedis {
  readonly client: Redis;
  readonly trouble: string | undefined;
}

type Data = { readonly payload: string };

/** BullMQ's priorities begin at 1 and go up to 2^21 - 1, and there the lower goes first. */
const PRIORITY_ZERO = PRIORITY_MAX + 1;
/** Each time that a taker is killed counts as one; what a job may do is for whoever takes it to say. */
const STALLED_MAX = 1_000_000;
/** Of the queue's own events, which nobody here reads. */
const EVENTS_MAX = 100;
const DELAY_MS_MIN = 1;
const CLOSE_MS_MAX = 1_000;
/** What BullMQ says of a job that is another's by now. */
const REPLY_CODES = /missing lock|not in the active state|missing key|lock mismatch/i;

/**
 * A queue of BullMQ's, in a Redis that all gateways share and that must not forget: `maxmemory-policy noeviction`.
 *
 * Jobs are fetched by hand rather than by BullMQ's own loop: who takes one says when it has room for it, and when it is done. BullMQ's
 * lock is the lease; where it runs out, its check for stalled jobs has the job taken again. Finished jobs are removed at once.
 *
 * Redis is asked in turns, and waited for by no blocked connection: what a batch of hours waits for may come a second later, and a
 * connection that blocks is closed by nobody.
 */
export class BullMqJobQueue implements JobQueue {
  readonly leaseMs: number;
  readonly #queue: Queue<Data>;
  readonly #worker: Worker<Data>;
  readonly #takers: JobTakers;
  /** What was taken here. */
  readonly #jobs = new WeakMap<TakenJob, Job<Data>>();

  /** The connection is not its own: it is not closed with it. */
  constructor(
    private readonly redis: QueueRedis,
    private readonly options: BullMqJobQueueOptions,
  ) {
    const { leaseMs, queue, prefix } = options;
    this.leaseMs = leaseMs;
    // Given as it is, and not as options: from those BullMQ could make no connection in an ES module.
    const connection = redis.client as never;
    this.#queue = new Queue(queue, { connection, prefix, streams: { events: { maxLen: EVENTS_MAX } } });
    this.#worker = new Worker(queue, null, {
      connection,
      prefix,
      autorun: false,
      lockDuration: leaseMs,
      // Whoever has a job extends its lease itself: a lease that renews itself would outlive the work.
      skipLockRenewal: true,
      stalledInterval: Math.max(200, leaseMs / 2),
      maxStalledCount: STALLED_MAX,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    // Whether Redis is there is told by its connection; an error that nobody listens to would end the process.
    this.#queue.on('error', () => {});
    this.#worker.on('error', () => {});
    void this.#worker.startStalledCheckTimer().catch(() => {});
    const source = {
      look: () => this.#look(),
      giveBack: async (job: TakenJob) => void (await this.retryLater(job, 0).catch(() => false)),
    };
    this.#takers = new JobTakers(source, { ...LOOK_PAUSES, ...options });
  }

  get trouble(): string | undefined {
    return this.redis.trouble ?? this.#takers.trouble;
  }

  async add(job: NewJob): Promise<void> {
    checkJob(job);
    const { jobsMax } = this.options;
    await this.#ask(async () => {
      const { waiting, taken } = await this.#count();
      if (waiting + taken >= jobsMax) {
        if ((await this.#queue.getJob(job.id)) !== undefined) return;
        throw new JobQueueFull(waiting + taken, jobsMax);
      }
      await this.#queue.add(
        'job',
        { payload: job.payload },
        { jobId: job.id, priority: PRIORITY_ZERO - job.priority, removeOnComplete: true, removeOnFail: true },
      );
    });
    this.#takers.ring();
  }

  take(signal: AbortSignal): Promise<TakenJob | undefined> {
    return this.#takers.take(signal);
  }

  extend(taken: TakenJob): Promise<boolean> {
    return this.#owned(taken, async (job) => (await job.extendLock(taken.ticket, this.leaseMs)) === 1);
  }

  done(taken: TakenJob): Promise<boolean> {
    return this.#owned(taken, async (job) => {
      await job.moveToCompleted('', taken.ticket, false);
      return true;
    });
  }

  async retryLater(taken: TakenJob, delayMs: number): Promise<boolean> {
    checkDelay(delayMs);
    const given = await this.#owned(taken, async (job) => {
      // Never straight back: BullMQ puts such a job before its equals, and one whose delay is over behind them.
      await job.moveToDelayed(Date.now() + Math.max(DELAY_MS_MIN, delayMs), taken.ticket);
      return true;
    });
    if (given) this.#takers.ring();
    return given;
  }

  counts(): Promise<JobCounts> {
    return this.#ask(() => this.#count());
  }

  async close(): Promise<void> {
    await this.#takers.close();
    // By force: it would wait for jobs, for as long as they take. What waits for a Redis that is away is left.
    const closed = Promise.allSettled([this.#worker.close(true), this.#queue.close()]);
    const over = new AbortController();
    await Promise.race([closed, sleep(CLOSE_MS_MAX, undefined, { signal: over.signal }).catch(() => {})]);
    over.abort();
  }

  async #count(): Promise<JobCounts> {
    const counts = await this.#queue.getJobCounts('wait', 'prioritized', 'delayed', 'active');
    const of = (state: string) => counts[state] ?? 0;
    return { waiting: of('wait') + of('prioritized') + of('delayed'), taken: of('active') };
  }

  async #look(): Promise<TakenJob | undefined> {
    const ticket = randomUUID();
    const job = await this.#ask(() => this.#worker.getNextJob(ticket, { block: false }));
    if (job?.id === undefined) return undefined;
    const taken = { id: job.id, payload: job.data.payload, attempt: job.attemptsStarted, ticket };
    this.#jobs.set(taken, job);
    return taken;
  }

  async #owned(taken: TakenJob, act: (job: Job<Data>) => Promise<boolean>): Promise<boolean> {
    const job = this.#jobs.get(taken);
    if (job === undefined) return false;
    return this.#ask(async () => {
      try {
        return await act(job);
      } catch (error) {
        if (error instanceof Error && REPLY_CODES.test(error.message)) return false;
        throw error;
      }
    });
  }

  /** BullMQ waits without end for a connection that is not there yet. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const { timeoutMs } = this.options;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      if (this.redis.trouble !== undefined) throw new Error(this.redis.trouble);
      return await Promise.race([work(), late]);
    } catch (error) {
      if (error instanceof JobQueueFull) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new JobQueueUnavailable(`The queue in Redis can not be asked: ${why}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}
