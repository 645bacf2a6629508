import {
  checkDelay,
  checkJob,
  type JobCounts,
  type JobQueue,
  JobQueueFull,
  JobQueueUnavailable,
  type NewJob,
  type TakenJob,
} from '../job-queue.js';
import { JobTakers, LOOK_PAUSES, type LookPauses } from '../job-takers.js';
import { DatabaseUnavailable, type SqlDatabase } from '../sql-database.js';

export interface SqlJobQueueOptions extends Partial<LookPauses> {
  /** Its name in the table. */
  readonly queue: string;
  readonly leaseMs: number;
  readonly jobsMax: number;
}

/**
 * A queue in the table `jobs`, embedded or in Postgres alike.
 *
 * A lease is a time in the row, by the database's clock; the row's number of attempts tells the taking that holds it from those before.
 * Several gateways look at once and pass over the rows that another is just taking.
 */
export class SqlJobQueue implements JobQueue {
  readonly leaseMs: number;
  readonly #takers: JobTakers;

  /** The database is not its own: it is not closed with it. */
  constructor(
    private readonly database: Pick<SqlDatabase, 'query'>,
    private readonly options: SqlJobQueueOptions,
  ) {
    this.leaseMs = options.leaseMs;
    const source = {
      look: () => this.#look(),
      giveBack: async (job: TakenJob) => void (await this.retryLater(job, 0).catch(() => false)),
    };
    this.#takers = new JobTakers(source, { ...LOOK_PAUSES, ...options });
  }

  get trouble(): string | undefined {
    return this.#takers.trouble;
  }

  async add(job: NewJob): Promise<void> {
    checkJob(job);
    const { queue, jobsMax } = this.options;
    const [row] = await this.#query<{ jobs: number; added: boolean; known: boolean }>(ADD, [
      queue,
      job.id,
      job.payload,
      job.priority,
      jobsMax,
    ]);
    if (row!.added) this.#takers.ring();
    else if (!row!.known && row!.jobs >= jobsMax) throw new JobQueueFull(row!.jobs, jobsMax);
  }

  take(signal: AbortSignal): Promise<TakenJob | undefined> {
    return this.#takers.take(signal);
  }

  extend(job: TakenJob): Promise<boolean> {
    return this.#owned(
      job,
      `update jobs set due_at = clock_timestamp() + $4 * interval '1 millisecond' where ${OWNED} returning id`,
      [this.leaseMs],
    );
  }

  done(job: TakenJob): Promise<boolean> {
    return this.#owned(job, `delete from jobs where ${OWNED} returning id`);
  }

  async retryLater(job: TakenJob, delayMs: number): Promise<boolean> {
    checkDelay(delayMs);
    const given = await this.#owned(
      job,
      `update jobs set taken = false, number = default, due_at = clock_timestamp() + $4 * interval '1 millisecond'
        where ${OWNED} returning id`,
      [delayMs],
    );
    if (given) this.#takers.ring();
    return given;
  }

  async counts(): Promise<JobCounts> {
    const [row] = await this.#query<JobCounts>(
      'select count(*) filter (where not taken) as waiting, count(*) filter (where taken) as taken from jobs where queue = $1',
      [this.options.queue],
    );
    return row!;
  }

  close(): Promise<void> {
    return this.#takers.close();
  }

  async #look(): Promise<TakenJob | undefined> {
    const [row] = await this.#query<Omit<TakenJob, 'ticket'>>(TAKE, [this.options.queue, this.leaseMs]);
    return row && { ...row, ticket: String(row.attempt) };
  }

  async #owned(job: TakenJob, sql: string, more: readonly unknown[] = []): Promise<boolean> {
    return (await this.#query(sql, [this.options.queue, job.id, job.attempt, ...more])).length > 0;
  }

  async #query<Row>(sql: string, values: readonly unknown[]): Promise<readonly Row[]> {
    try {
      return await this.database.query<Row>(sql, values);
    } catch (error) {
      if (error instanceof DatabaseUnavailable) throw new JobQueueUnavailable(error.message, { cause: error });
      throw error;
    }
  }
}

/** Late is who has lost the lease, even while nobody else has taken the job: it could be taken at any moment. */
const OWNED = 'queue = $1 and id = $2 and attempt = $3 and taken and due_at > clock_timestamp()';

const ADD = `
  with standing as (
    select count(*) as jobs, count(*) filter (where id = $2) > 0 as known from jobs where queue = $1
  ), added as (
    insert into jobs (queue, id, payload, priority)
      select $1, $2, $3, $4::int from standing where not known and jobs < $5::int
      on conflict do nothing returning id
  )
  select jobs, known, exists (select from added) as added from standing`;

const TAKE = `
  with next as (
    select queue, id from jobs where queue = $1 and due_at <= clock_timestamp()
      order by priority desc, number limit 1 for update skip locked
  )
  update jobs set attempt = attempt + 1, taken = true, due_at = clock_timestamp() + $2 * interval '1 millisecond'
    from next where jobs.queue = next.queue and jobs.id = next.id
    returning jobs.id, jobs.payload, jobs.attempt`;
