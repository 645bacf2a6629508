import type { SqlDatabase } from '../stores/sql-database.js';
import { dayOf } from './record-days.js';

export type UsageColumn = 'day' | 'key' | 'model';

/** What of the totals is wanted. */
export interface UsageAsked {
  /** First and last day (UTC), both counted. */
  readonly from: string;
  readonly to: string;
  /** Of this key alone; empty: of requests without one. */
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly by: ReadonlySet<UsageColumn>;
  readonly rowsMax: number;
}

/** What is not told apart is absent; empty: without a key, or before the model was known. */
export interface UsageRow {
  readonly day?: string;
  readonly key_id?: string;
  readonly key_name?: string | null;
  readonly model?: string;
  readonly requests: number;
  readonly failed_requests: number;
  /** Of `requests`, those that were answered from the cache. Their tokens are in none of these: nothing was computed for them. */
  readonly cached_requests: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
}

/** Records that are on their way to the database. */
export interface Unwritten {
  readonly pending: number;
  /** Grows with every batch that is written. */
  readonly batches: number;
  unwrittenTokens(keyId: string, fromDay: string): number;
}

/** A name for what may change from day to day: the last one. */
const LAST_NAME = '(array_agg(key_name order by day desc) filter (where key_name is not null))[1] as key_name';
const TELLING: Readonly<Record<UsageColumn, string>> = { day: 'day::text as day', key: 'key_id', model: 'model' };
const GROUPING: Readonly<Record<UsageColumn, string>> = { day: 'day', key: 'key_id', model: 'model' };
const ATTEMPTS_MAX = 3;

/** What was used, from the totals of each day: as quick with millions of records as with ten. */
export class UsageTotals {
  constructor(
    private readonly database: Pick<SqlDatabase, 'query'>,
    private readonly unwritten: Unwritten,
  ) {}

  /** Records of this gateway that are in no total yet. */
  get pending(): number {
    return this.unwritten.pending;
  }

  /** Latest day first, then whoever used most. @throws what the database does. */
  rows({ from, to, key, model, by, rowsMax }: UsageAsked): Promise<readonly UsageRow[]> {
    const columns = (['day', 'key', 'model'] as const).filter((column) => by.has(column));
    const telling = columns.map((column) => `${TELLING[column]},`).join(' ');
    const groupBy = columns.map((column) => GROUPING[column]).join(', ');
    return this.database.query<UsageRow>(
      `select ${telling} ${by.has('key') ? `${LAST_NAME},` : ''}
         coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(failed_requests), 0)::bigint as failed_requests,
         coalesce(sum(cached_requests), 0)::bigint as cached_requests,
         coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
         coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
         coalesce(sum(completion_tokens), 0)::bigint as completion_tokens
       from usage_days
       where day between $1::date and $2::date
         and ($3::text is null or key_id = $3) and ($4::text is null or model = $4)
       ${groupBy && `group by ${groupBy}`}
       order by ${by.has('day') ? 'usage_days.day desc,' : ''} sum(prompt_tokens + completion_tokens) desc, sum(requests) desc
         ${groupBy && `, ${columns.map((column) => `usage_days.${GROUPING[column]}`).join(', ')}`}
       limit $5`,
      [from, to, key, model, rowsMax],
    );
  }

  /**
   * Prompt and answers of a key, since 00:00 UTC and since the first of the month: what the database has, and what this gateway has
   * not written yet. Other gateways' last half second is missing.
   *
   * @throws what the database does.
   */
  async usedTokens(keyId: string): Promise<{ readonly today: number; readonly thisMonth: number }> {
    const today = dayOf(Date.now());
    const first = `${today.slice(0, 8)}01`;
    for (let attempt = 1; ; attempt++) {
      const { batches } = this.unwritten;
      const [row] = await this.database.query<{ today: number; month: number }>(
        `select coalesce(sum(prompt_tokens + completion_tokens) filter (where day = $2::date), 0)::bigint as today,
           coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint as month
         from usage_days where key_id = $1 and day between $3::date and $2::date`,
        [keyId, today, first],
      );
      // A batch that was written meanwhile may be in both, or in neither.
      if (this.unwritten.batches !== batches && attempt < ATTEMPTS_MAX) continue;
      return {
        today: (row?.today ?? 0) + this.unwritten.unwrittenTokens(keyId, today),
        thisMonth: (row?.month ?? 0) + this.unwritten.unwrittenTokens(keyId, first),
      };
    }
  }
}
