import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../stores/sql-database.js';
import { takeChore } from '../stores/take-chore.js';
import { dayAfter, daysOfNames, nameOfDay, PARTITION_PREFIX } from './record-days.js';

/** The columns of `request_records`, as init-scripts/postgres/002_records.sql has them. */
const COLUMNS: Readonly<Record<string, string>> = {
  day: 'date',
  record_id: 'uuid',
  arrived_at: 'timestamptz',
  request_id: 'text',
  trace_id: 'text',
  key_id: 'text',
  key_name: 'text',
  endpoint: 'text',
  model: 'text',
  worker: 'text',
  attempts: 'integer',
  stream: 'boolean',
  parameters: 'jsonb',
  outcome: 'text',
  code: 'text',
  status: 'integer',
  prompt_tokens: 'integer',
  cached_tokens: 'integer',
  completion_tokens: 'integer',
  reasoning_tokens: 'integer',
  waited_ms: 'real',
  first_token_ms: 'real',
  per_token_ms: 'real',
  total_ms: 'real',
  overhead_ms: 'real',
  cached: 'boolean',
  continued: 'boolean',
  question: 'text',
  answer: 'text',
  contents_cut: 'boolean',
};
const NAMES = Object.keys(COLUMNS).join(', ');
const TYPED = Object.entries(COLUMNS)
  .map(([column, type]) => `${column} ${type}`)
  .join(', ');

/**
 * Rows and totals in one statement, so that both are there or neither is. Totals count the rows that were new: a batch that is
 * sent again, since nobody knows whether it had arrived, changes nothing. Totals are locked in one order, whoever writes them,
 * so that two gateways never wait for each other. What the admin API was asked is on record and in no total: it used nothing. Of cached
 * answers only the request counts: their tokens were computed, and counted, once.
 */
const WRITE = `
with written as (
  insert into request_records (${NAMES})
  select ${NAMES} from jsonb_to_recordset($1::jsonb) as given (${TYPED})
  on conflict do nothing
  returning day, endpoint, key_id, key_name, model, code, cached, prompt_tokens, cached_tokens, completion_tokens
), counted as (
  insert into usage_days as total
    (day, key_id, model, key_name, requests, failed_requests, cached_requests, prompt_tokens, cached_tokens, completion_tokens)
  select day, coalesce(key_id, ''), coalesce(model, ''), max(key_name), count(*), count(code), count(*) filter (where cached),
    coalesce(sum(prompt_tokens) filter (where not cached), 0), coalesce(sum(cached_tokens) filter (where not cached), 0),
    coalesce(sum(completion_tokens) filter (where not cached), 0)
  from written where endpoint <> 'admin' group by 1, 2, 3 order by 1, 2, 3
  on conflict (day, key_id, model) do update set
    key_name = coalesce(excluded.key_name, total.key_name),
    requests = total.requests + excluded.requests,
    failed_requests = total.failed_requests + excluded.failed_requests,
    cached_requests = total.cached_requests + excluded.cached_requests,
    prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
    cached_tokens = total.cached_tokens + excluded.cached_tokens,
    completion_tokens = total.completion_tokens + excluded.completion_tokens
)
select count(*) as rows from written`;

const CHECK_VIOLATION = '23514';
const ATTEMPTS_MAX = 4;
const DAY_GOING_MS = 50;
/** A partition can not be made or dropped while somebody reads it; rather than hold up those behind, it is tried again later. */
const LOCK_TIMEOUT_MS = 2_000;
/** `hashtext` of nothing in particular: whoever makes days holds it. */
const MAKING_DAYS_LOCK = 5_714_201;
/** A little less than the hour in which each gateway asks, so that one of them finds it due. */
const CHORE_MINUTES = 55;

/** `request_records` and `usage_days`. Every method throws what `SqlDatabase` throws. */
export class RecordTable {
  /** Days whose partitions are there, as far as this gateway knows: it may be wrong after another pruned. */
  #known = new Set<string>();

  constructor(private readonly database: SqlDatabase) {}

  /**
   * Writes rows that are not there yet, and counts them into the totals of their days. May be repeated.
   *
   * @param lines each the JSON of a row.
   * @param days of the rows, without doubles.
   * @returns how many rows were new.
   */
  async write(lines: readonly string[], days: Iterable<string>): Promise<number> {
    const wanted = [...days];
    const values = [`[${lines.join(',')}]`];
    for (let attempt = 1; ; attempt++) {
      await this.makeDays(wanted);
      try {
        return await this.#insert(values);
      } catch (error) {
        // A partition that was known is gone, or going: another gateway prunes it.
        if (sqlState(error) !== CHECK_VIOLATION || attempt === ATTEMPTS_MAX) throw error;
        this.#known = new Set();
        await sleep(attempt * DAY_GOING_MS);
      }
    }
  }

  async #insert(values: readonly unknown[]): Promise<number> {
    const [written] = await this.database.query<{ rows: number }>(WRITE, values);
    return Number(written?.rows ?? 0);
  }

  /** Makes the partitions of these days, of which ten gateways may be thinking at once. */
  async makeDays(days: readonly string[]): Promise<void> {
    const missing = days.filter((day) => !this.#known.has(day));
    if (missing.length === 0) return;
    const attached = new Set((await this.#partitions()).filter((one) => one.attached).map(({ day }) => day));
    const absent = missing.filter((day) => !attached.has(day));
    if (absent.length > 0) await this.database.transaction((query) => makeAbsent(query, absent));
    for (const day of missing) this.#known.add(day);
  }

  /** Whether it falls to this gateway, and to no other within the hour. */
  takeChore(chore: string): Promise<boolean> {
    return takeChore(this.database, chore, CHORE_MINUTES);
  }

  /** The day (UTC) by the database's clock. */
  async today(): Promise<string> {
    const [row] = await this.database.query<{ day: string }>(`select (now() at time zone 'utc')::date::text as day`);
    return row!.day;
  }

  /** Drops the days before `firstKept`. @returns how many. What is in use just now is left for the next time. */
  async prune(firstKept: string): Promise<number> {
    await this.#finishDetaching();
    const old = (await this.#partitions()).filter(({ day }) => day < firstKept);
    for (const { day, attached } of old) {
      this.#known.delete(day);
      if (attached) await this.#detach(day);
      await this.#drop(day);
    }
    return old.length;
  }

  /** One that was interrupted keeps every other from being detached. */
  async #finishDetaching(): Promise<void> {
    for (const { day, pending } of await this.#partitions()) {
      if (!pending) continue;
      await this.database.query(`alter table request_records detach partition ${nameOfDay(day)} finalize`);
    }
  }

  /** Without keeping anybody from reading or writing the other days. */
  async #detach(day: string): Promise<void> {
    await this.database.query(`alter table request_records detach partition ${nameOfDay(day)} concurrently`);
  }

  async #drop(day: string): Promise<void> {
    await this.database.transaction(async (query) => {
      await query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await query(`drop table if exists ${nameOfDay(day)}`);
    });
  }

  /** All days that have a table, also those that were detached and not dropped: their gateway may have ended in between. */
  async #partitions(): Promise<readonly Partition[]> {
    const rows = await this.database.query<{ name: string; attached: boolean; pending: boolean }>(
      `select child.relname as name, link.inhrelid is not null and not link.inhdetachpending as attached,
         coalesce(link.inhdetachpending, false) as pending
       from pg_class child left join pg_inherits link on link.inhrelid = child.oid
       where child.relnamespace = current_schema()::regnamespace and child.relkind = 'r'
         and starts_with(child.relname, $1)`,
      [PARTITION_PREFIX],
    );
    return daysOfNames(rows);
  }
}

interface Partition {
  readonly day: string;
  readonly attached: boolean;
  readonly pending: boolean;
}

/**
 * Made beside the table and attached: that locks out nobody who reads or writes other days, where `partition of` would. The
 * lock makes the second gateway find what the first has made.
 */
async function makeAbsent(query: SqlQuery, days: readonly string[]): Promise<void> {
  await query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
  await query('select pg_advisory_xact_lock($1)', [MAKING_DAYS_LOCK]);
  for (const day of days) {
    const name = nameOfDay(day);
    const [found] = await query<{ attached: boolean }>(
      `select exists (select from pg_inherits where inhrelid = oid) as attached
       from pg_class where oid = to_regclass($1)`,
      [name],
    );
    if (found?.attached) continue;
    if (found === undefined) await query(`create table ${name} (like request_records including defaults)`);
    await query(
      `alter table request_records attach partition ${name} for values from ('${day}') to ('${dayAfter(day)}')`,
    );
  }
}

/** Postgres's own code of an error, where it has one. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof DatabaseUnavailable) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}
