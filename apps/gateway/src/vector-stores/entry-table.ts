import { type FileAttributes, InferenceError } from '@millrace/contracts';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import { conditionOf, type FileFilter } from './file-filter.js';
import { type Page, type PageAsk, PageSql } from './page.js';
import {
  type BatchRow,
  COUNTED_FILES,
  ENTRY_COLUMNS,
  type EntryRow,
  type EntryStatus,
  keyOf,
  type StoreOwner,
} from './store-rows.js';
import { lockedStore } from './store-table.js';

export interface EntryLimits {
  readonly vectorStoreFilesMax: number;
}

/** Of one store. Each has up to 2,000 rows; they go with their store, and with the entries that they name. */
const BATCHES_MAX = 10_000;

/** A file that is to be in a store. */
export interface NewEntry {
  readonly fileId: string;
  readonly filename: string;
  /** Undefined: those that it has, if it is there already. */
  readonly attributes: FileAttributes | undefined;
  /** Undefined: as suits the model. */
  readonly chunking: { readonly chunkTokens: number; readonly overlapTokens: number } | undefined;
}

/**
 * Files in stores, and the batches that they came in.
 *
 * @throws InferenceError for what the caller did; DatabaseUnavailable.
 */
export class EntryTable {
  constructor(
    private readonly database: SqlDatabase,
    private readonly limits: EntryLimits,
    private readonly batchesMax = BATCHES_MAX,
  ) {}

  /** A file that is there already, and is cut as is asked, stays as it is, but for its attributes where some are given. */
  async attach(owner: StoreOwner, storeId: string, entries: readonly NewEntry[]): Promise<void> {
    await this.database.transaction((query) => this.#attach(query, owner, storeId, entries));
  }

  async attachBatch(owner: StoreOwner, storeId: string, entries: readonly NewEntry[]): Promise<string> {
    const id = timedId('vsfb_');
    await this.database.transaction(async (query) => {
      const ids = await this.#attach(query, owner, storeId, entries);
      await this.#refuseTooManyBatches(query, storeId);
      await query('insert into vector_store_batches (id, store_id) values ($1, $2)', [id, storeId]);
      await query('insert into vector_store_batch_files (batch_id, entry_id) select $1, unnest($2::text[])', [id, ids]);
    });
    return id;
  }

  async #attach(
    query: SqlQuery,
    owner: StoreOwner,
    storeId: string,
    entries: readonly NewEntry[],
  ): Promise<readonly string[]> {
    await lockedStore(query, owner, storeId);
    // Of one file that is named twice, what is said last counts.
    const once = [...new Map(entries.map((entry) => [entry.fileId, entry])).values()].map((entry, at) => ({
      id: timedId('entry_', at),
      file_id: entry.fileId,
      filename: entry.filename,
      attributes: entry.attributes,
      chunk_tokens: entry.chunking?.chunkTokens ?? null,
      overlap_tokens: entry.chunking?.overlapTokens ?? null,
    }));
    const wanted = JSON.stringify(once);
    const WANTED =
      'jsonb_to_recordset($2::jsonb) as w (id text, file_id text, filename text, attributes jsonb, chunk_tokens integer, overlap_tokens integer)';
    const replaced = await query<{ file_id: string; attributes: FileAttributes }>(
      `update vector_store_files f set status = 'deleted', not_before = now() from ${WANTED}
       where f.store_id = $1 and f.file_id = w.file_id and f.status <> 'deleted' and (f.status in ('failed', 'cancelled')
         or f.chunk_tokens_asked is distinct from w.chunk_tokens or f.overlap_tokens_asked is distinct from w.overlap_tokens)
       returning f.file_id, f.attributes`,
      [storeId, wanted],
    );
    await query(
      `update vector_store_files f set attributes = w.attributes from ${WANTED}
       where f.store_id = $1 and f.file_id = w.file_id and f.status <> 'deleted' and w.attributes is not null`,
      [storeId, wanted],
    );
    const kept = new Map(replaced.map(({ file_id, attributes }) => [file_id, attributes]));
    const made = once.map((one) => ({ ...one, attributes: one.attributes ?? kept.get(one.file_id) ?? {} }));
    const rows = await query<{ id: string }>(
      `insert into vector_store_files as f (id, store_id, key_id, file_id, filename, status, attributes, chunk_tokens_asked, overlap_tokens_asked)
       select w.id, $1, $3, w.file_id, w.filename, 'in_progress', w.attributes, w.chunk_tokens, w.overlap_tokens from ${WANTED}
       on conflict (store_id, file_id) where status <> 'deleted' do update set attributes = f.attributes
       returning id`,
      [storeId, JSON.stringify(made), keyOf(owner)],
    );
    await this.#refuseTooMany(query, storeId);
    await query('update vector_stores set last_active_at = clock_timestamp() where id = $1', [storeId]);
    return rows.map(({ id }) => id);
  }

  async #refuseTooMany(query: SqlQuery, storeId: string): Promise<void> {
    const { vectorStoreFilesMax: max } = this.limits;
    const [row] = await query<{ number: number }>(
      "select count(*) as number from vector_store_files where store_id = $1 and status <> 'deleted'",
      [storeId],
    );
    const number = row?.number ?? 0;
    if (number <= max) return;
    throw new InferenceError(
      'invalid_request',
      `The vector store would have ${number.toLocaleString('en-US')} files; it may have ${max.toLocaleString('en-US')} (vectorStoreFilesMax). Remove some, or use several stores.`,
      { param: 'file_ids' },
    );
  }

  /** The store is locked: nobody adds one meanwhile. */
  async #refuseTooManyBatches(query: SqlQuery, storeId: string): Promise<void> {
    const [row] = await query<{ number: number }>(
      'select count(*) as number from vector_store_batches where store_id = $1',
      [storeId],
    );
    const number = row?.number ?? 0;
    if (number < this.batchesMax) return;
    throw new InferenceError(
      'invalid_request',
      `The vector store has ${number.toLocaleString('en-US')} file batches; it may have ${this.batchesMax.toLocaleString('en-US')}. Attach several files with one, attach them one by one without, or use another store.`,
    );
  }

  async find(storeId: string, fileId: string): Promise<EntryRow> {
    refuseOddId(storeId, fileId);
    const [row] = await this.database.query<EntryRow>(
      `select ${ENTRY_COLUMNS} from vector_store_files where store_id = $1 and file_id = $2 and status <> 'deleted'`,
      [storeId, fileId],
    );
    return row ?? noFile(storeId, fileId);
  }

  /** @param batchId only those that came with this batch. */
  async list(
    storeId: string,
    ask: PageAsk & { readonly filter?: EntryStatus | undefined },
    batchId?: string,
  ): Promise<Page<EntryRow>> {
    const [after, before] = await Promise.all([this.#placeOf(storeId, ask.after), this.#placeOf(storeId, ask.before)]);
    const page = new PageSql({ ...ask, after, before }, 'id', 4);
    const rows = await this.database.query<EntryRow>(
      `select ${ENTRY_COLUMNS} from vector_store_files
       where store_id = $1 and status <> 'deleted' and ($2::text is null or status = $2)
         and ($3::text is null or id in (select entry_id from vector_store_batch_files where batch_id = $3))
         and ${page.where} ${page.orderAndLimit}`,
      [storeId, ask.filter, batchId, ...page.values],
    );
    return page.pageOf(rows);
  }

  /** Callers know files, and lists go by entries. */
  async #placeOf(storeId: string, fileId: string | undefined): Promise<string | undefined> {
    return fileId === undefined ? undefined : (await this.find(storeId, fileId)).id;
  }

  async changeAttributes(storeId: string, fileId: string, attributes: FileAttributes): Promise<EntryRow> {
    refuseOddId(storeId, fileId);
    const [row] = await this.database.query<EntryRow>(
      `update vector_store_files set attributes = $3::jsonb where store_id = $1 and file_id = $2 and status <> 'deleted'
       returning ${ENTRY_COLUMNS}`,
      [storeId, fileId, JSON.stringify(attributes)],
    );
    return row ?? noFile(storeId, fileId);
  }

  /** From now on nobody finds it; its chunks and vectors go afterwards. */
  async remove(storeId: string, fileId: string): Promise<void> {
    refuseOddId(storeId, fileId);
    const rows = await this.database.query(
      `update vector_store_files set status = 'deleted', not_before = now()
       where store_id = $1 and file_id = $2 and status <> 'deleted' returning id`,
      [storeId, fileId],
    );
    if (rows.length === 0) noFile(storeId, fileId);
  }

  async findBatch(storeId: string, id: string): Promise<BatchRow> {
    const [row] = isTimedId('vsfb_', id)
      ? await this.database.query<BatchRow>(
          `select b.id, b.store_id, b.cancelled_at, b.created_at, counted.*
           from vector_store_batches b cross join lateral (
             select ${COUNTED_FILES} from vector_store_batch_files bf join vector_store_files f on f.id = bf.entry_id
             where bf.batch_id = b.id
           ) as counted
           where b.id = $1 and b.store_id = $2`,
          [id, storeId],
        )
      : [];
    return row ?? noBatch(storeId, id);
  }

  /** What is completed stays; again, it changes nothing. */
  async cancelBatch(storeId: string, id: string): Promise<void> {
    const { in_progress, cancelled_at } = await this.findBatch(storeId, id);
    if (in_progress === 0 || cancelled_at !== null) return;
    await this.database.transaction(async (query) => {
      await query('update vector_store_batches set cancelled_at = clock_timestamp() where id = $1', [id]);
      await query(
        `update vector_store_files set status = 'cancelled', has_remains = true, not_before = now()
         where status = 'in_progress' and id in (select entry_id from vector_store_batch_files where batch_id = $1)`,
        [id],
      );
    });
  }

  /** Of those that can be searched, the entries that a filter lets through; one more than `max` where there are more. */
  async passing(storeId: string, filter: FileFilter, max: number): Promise<readonly string[]> {
    const values: unknown[] = [storeId, max + 1];
    const rows = await this.database.query<{ id: string }>(
      `select id from vector_store_files where store_id = $1 and status = 'completed' and ${conditionOf(filter, values)} limit $2`,
      values,
    );
    return rows.map(({ id }) => id);
  }
}

/** What no database takes as a text is no id of anything. */
function refuseOddId(storeId: string, fileId: string): void {
  if (fileId.includes('\0')) noFile(storeId, fileId);
}

function noFile(storeId: string, fileId: string): never {
  throw new InferenceError(
    'vector_store_not_found',
    `There is no file ${JSON.stringify(fileId.slice(0, 60))} in the vector store ${storeId}. GET /v1/vector_stores/${storeId}/files lists those that there are.`,
    { param: 'file_id' },
  );
}

function noBatch(storeId: string, id: string): never {
  throw new InferenceError(
    'vector_store_not_found',
    `There is no file batch ${JSON.stringify(id.slice(0, 60))} of the vector store ${storeId}.`,
    { param: 'batch_id' },
  );
}
