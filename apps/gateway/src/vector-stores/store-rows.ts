import type { FileAttributes, FileBatchBody, VectorStoreBody, VectorStoreFileBody } from '@millrace/contracts';
import { CHUNK_TOKENS_DEFAULT, OVERLAP_TOKENS_DEFAULT } from '@millrace/contracts';

/** Whose a store is: the id of a key; undefined: whoever asks, while there are no keys. */
export type StoreOwner = string | undefined;

export function keyOf(owner: StoreOwner): string {
  return owner ?? '';
}

export type EntryStatus = 'in_progress' | 'completed' | 'cancelled' | 'failed';

export interface FileCounts {
  readonly in_progress: number;
  readonly completed: number;
  readonly cancelled: number;
  readonly failed: number;
}

/** A row of `vector_stores`, with what is counted of its files. */
export interface StoreRow extends FileCounts {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly embedding_model: string | null;
  readonly dimension: number | null;
  readonly expires_after_days: number | null;
  readonly last_active_at: Date;
  readonly expired: boolean;
  readonly created_at: Date;
  readonly usage_bytes: number;
}

/** When it has expired, though nobody may have noticed yet. */
export const HAS_EXPIRED =
  "(expired_at is not null or coalesce(last_active_at + expires_after_days * interval '1 day' < now(), false))";

/** A file in a store: an entry, since the file itself is elsewhere. */
export interface EntryRow {
  readonly id: string;
  readonly store_id: string;
  readonly file_id: string;
  readonly filename: string;
  readonly status: EntryStatus;
  readonly attributes: FileAttributes;
  readonly chunk_tokens_asked: number | null;
  readonly overlap_tokens_asked: number | null;
  readonly chunk_tokens: number | null;
  readonly overlap_tokens: number | null;
  readonly usage_bytes: number;
  readonly error_code: 'server_error' | 'unsupported_file' | 'invalid_file' | null;
  readonly error_message: string | null;
  readonly created_at: Date;
}

export const ENTRY_COLUMNS =
  'id, store_id, file_id, filename, status, attributes, chunk_tokens_asked, overlap_tokens_asked, chunk_tokens, overlap_tokens, usage_bytes, error_code, error_message, created_at';

export interface BatchRow extends FileCounts {
  readonly id: string;
  readonly store_id: string;
  readonly cancelled_at: Date | null;
  readonly created_at: Date;
}

/** Counted of rows of `vector_store_files`, called `f`. */
export const COUNTED_FILES = (['in_progress', 'completed', 'cancelled', 'failed'] as const)
  .map((status) => `count(*) filter (where f.status = '${status}') as ${status}`)
  .join(', ');

export function storeBody(row: StoreRow): VectorStoreBody {
  const { expires_after_days: days, last_active_at, expired, in_progress } = row;
  return {
    id: row.id,
    object: 'vector_store',
    created_at: unixSeconds(row.created_at),
    name: row.name,
    description: row.description,
    usage_bytes: row.usage_bytes,
    file_counts: countsOf(row),
    status: expired ? 'expired' : in_progress > 0 ? 'in_progress' : 'completed',
    expires_after: days === null ? null : { anchor: 'last_active_at', days },
    expires_at: days === null ? null : unixSeconds(last_active_at) + days * 86_400,
    last_active_at: unixSeconds(last_active_at),
    metadata: row.metadata,
    embedding_model: row.embedding_model,
  };
}

export function entryBody(row: EntryRow): VectorStoreFileBody {
  return {
    id: row.file_id,
    object: 'vector_store.file',
    usage_bytes: row.usage_bytes,
    created_at: unixSeconds(row.created_at),
    vector_store_id: row.store_id,
    status: row.status,
    last_error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    chunking_strategy: {
      type: 'static',
      static: {
        max_chunk_size_tokens: row.chunk_tokens ?? row.chunk_tokens_asked ?? CHUNK_TOKENS_DEFAULT,
        chunk_overlap_tokens: row.overlap_tokens ?? row.overlap_tokens_asked ?? OVERLAP_TOKENS_DEFAULT,
      },
    },
    attributes: row.attributes,
  };
}

export function batchBody(row: BatchRow): FileBatchBody {
  return {
    id: row.id,
    object: 'vector_store.files_batch',
    created_at: unixSeconds(row.created_at),
    vector_store_id: row.store_id,
    status: row.cancelled_at !== null ? 'cancelled' : row.in_progress > 0 ? 'in_progress' : 'completed',
    file_counts: countsOf(row),
  };
}

function countsOf({ in_progress, completed, cancelled, failed }: FileCounts) {
  return { in_progress, completed, cancelled, failed, total: in_progress + completed + cancelled + failed };
}

function unixSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
