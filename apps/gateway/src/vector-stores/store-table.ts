import { InferenceError } from '@millrace/contracts';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import { type Page, type PageAsk, PageSql } from './page.js';
import { COUNTED_FILES, HAS_EXPIRED, keyOf, type StoreOwner, type StoreRow } from './store-rows.js';

export interface StoreLimits {
  readonly vectorStoresPerKeyMax: number;
}

export interface NewStore {
  readonly name: string;
  readonly description: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly expiresAfterDays: number | undefined;
  readonly embeddingModel: string | undefined;
}

/** What is absent stays as it is. */
export interface StoreChanges {
  readonly name?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Null: it never expires. */
  readonly expiresAfterDays?: number | null | undefined;
}

/** A store that is used often is noted so at most so often: a search need not write. */
const ACTIVE_SECONDS = 60;

const STORES = `
  select s.id, s.name, s.description, s.metadata, s.embedding_model, s.dimension, s.expires_after_days, s.last_active_at,
    ${HAS_EXPIRED} as expired, s.created_at, counted.*
  from vector_stores s cross join lateral (
    select ${COUNTED_FILES}, coalesce(sum(f.usage_bytes), 0)::bigint as usage_bytes
    from vector_store_files f where f.store_id = s.id and f.status <> 'deleted'
  ) as counted`;

/**
 * The stores of each key; another's is as if it were not there.
 *
 * @throws InferenceError for what the caller did; DatabaseUnavailable.
 */
export class StoreTable {
  constructor(
    private readonly database: SqlDatabase,
    private readonly limits: StoreLimits,
  ) {}

  async create(owner: StoreOwner, store: NewStore): Promise<string> {
    const { vectorStoresPerKeyMax: max } = this.limits;
    const id = timedId('vs_');
    // Several at the same moment may go beyond the limit together, by as many as they are.
    const made = await this.database.query(
      `insert into vector_stores (id, key_id, name, description, metadata, expires_after_days, embedding_model)
       select $1, $2, $3, $4, $5::jsonb, $6, $7
       where (select count(*) from vector_stores where key_id = $2 and deleted_at is null) < $8
       returning id`,
      [
        id,
        keyOf(owner),
        store.name,
        store.description,
        JSON.stringify(store.metadata),
        store.expiresAfterDays,
        store.embeddingModel,
        max,
      ],
    );
    if (made.length > 0) return id;
    throw new InferenceError(
      'invalid_request',
      `There are ${max.toLocaleString('en-US')} vector stores already, which is the most (vectorStoresPerKeyMax). Delete one, or have that setting raised.`,
    );
  }

  async find(owner: StoreOwner, id: string): Promise<StoreRow> {
    const [row] = isTimedId('vs_', id)
      ? await this.database.query<StoreRow>(`${STORES} where s.id = $1 and s.key_id = $2 and s.deleted_at is null`, [
          id,
          keyOf(owner),
        ])
      : [];
    return row ?? noStore(id);
  }

  async list(owner: StoreOwner, ask: PageAsk): Promise<Page<StoreRow>> {
    const page = new PageSql(ask, 's.id', 2);
    const rows = await this.database.query<StoreRow>(
      `${STORES} where s.key_id = $1 and s.deleted_at is null and ${page.where} ${page.orderAndLimit}`,
      [keyOf(owner), ...page.values],
    );
    return page.pageOf(rows);
  }

  async change(owner: StoreOwner, id: string, { name, metadata, expiresAfterDays }: StoreChanges): Promise<void> {
    await this.database.transaction(async (query) => {
      await lockedStore(query, owner, id);
      await query(
        `update vector_stores set name = coalesce($2, name), metadata = coalesce($3::jsonb, metadata),
          expires_after_days = case when $4 then $5::integer else expires_after_days end, last_active_at = clock_timestamp()
         where id = $1`,
        [id, name, metadata && JSON.stringify(metadata), expiresAfterDays !== undefined, expiresAfterDays],
      );
    });
  }

  /** From now on nobody sees it or what is in it; that goes afterwards. */
  async remove(owner: StoreOwner, id: string): Promise<void> {
    await this.database.transaction(async (query) => {
      await lockedStore(query, owner, id, 'expired or not');
      await query('update vector_stores set deleted_at = clock_timestamp() where id = $1', [id]);
      await removeEntries(query, id);
    });
  }

  async touch(id: string): Promise<void> {
    await this.database.query(
      `update vector_stores set last_active_at = clock_timestamp()
       where id = $1 and last_active_at < now() - interval '${ACTIVE_SECONDS} seconds' and not ${HAS_EXPIRED}`,
      [id],
    );
  }

  /** By which model its vectors are; the first to say so is right. @returns what holds from now on. */
  async pin(id: string, model: string, dimension: number): Promise<{ model: string; dimension: number } | undefined> {
    const [row] = await this.database.query<{ model: string; dimension: number }>(
      `update vector_stores set embedding_model = coalesce(embedding_model, $2), dimension = coalesce(dimension, $3)
       where id = $1 returning embedding_model as model, dimension`,
      [id, model, dimension],
    );
    return row;
  }

  /** Lets go of what is in stores that have expired, and removes those that were deleted and are empty. @returns how many it found. */
  async tidy(): Promise<number> {
    const expired = await this.database.transaction(async (query) => {
      const rows = await query<{ id: string }>(
        `update vector_stores set expired_at = clock_timestamp()
         where expires_after_days is not null and expired_at is null and deleted_at is null and ${HAS_EXPIRED} returning id`,
      );
      for (const { id } of rows) await removeEntries(query, id);
      return rows.length;
    });
    const [gone] = await this.database.query<{ number: number }>(
      `with empty as (
         select id from vector_stores s where deleted_at is not null
           and not exists (select from vector_store_files f where f.store_id = s.id) limit 100
       ),
       batches as (delete from vector_store_batches where store_id in (select id from empty) returning id),
       files as (delete from vector_store_batch_files where batch_id in (select id from batches))
       select count(*) as number from empty`,
    );
    if ((gone?.number ?? 0) > 0) {
      await this.database.query(
        `delete from vector_stores s where deleted_at is not null
          and not exists (select from vector_store_files f where f.store_id = s.id)
          and not exists (select from vector_store_batches b where b.store_id = s.id)`,
      );
    }
    return expired + (gone?.number ?? 0);
  }
}

/** Nobody adds to it or deletes it meanwhile. @throws InferenceError where it is not there, or has expired. */
export async function lockedStore(
  query: SqlQuery,
  owner: StoreOwner,
  id: string,
  also?: 'expired or not',
): Promise<void> {
  const [row] = isTimedId('vs_', id)
    ? await query<{ expired: boolean }>(
        `select ${HAS_EXPIRED} as expired from vector_stores where id = $1 and key_id = $2 and deleted_at is null for update`,
        [id, keyOf(owner)],
      )
    : [];
  if (row === undefined) noStore(id);
  if (row.expired && also === undefined) throw storeExpired(id);
}

async function removeEntries(query: SqlQuery, storeId: string): Promise<void> {
  await query(
    "update vector_store_files set status = 'deleted', not_before = now() where store_id = $1 and status <> 'deleted'",
    [storeId],
  );
}

export function noStore(id: string): never {
  throw new InferenceError(
    'vector_store_not_found',
    `There is no vector store ${JSON.stringify(id.slice(0, 60))}. GET /v1/vector_stores lists those that there are.`,
    { param: 'vector_store_id' },
  );
}

export function storeExpired(id: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The vector store ${id} has expired, and what was in it is gone. Make another, with a longer \`expires_after\` or none.`,
    { param: 'vector_store_id' },
  );
}
