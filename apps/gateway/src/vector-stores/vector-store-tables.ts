import { randomHex } from '@millrace/runtime';
import type { SqlDatabase } from '../stores/sql-database.js';
import { ChunkTable } from './chunk-table.js';
import { type EntryLimits, EntryTable } from './entry-table.js';
import { type StoreLimits, StoreTable } from './store-table.js';
import { WorkTable } from './work-table.js';

/** Everything about vector stores that is in the database. */
export interface VectorStoreTables {
  readonly stores: StoreTable;
  readonly entries: EntryTable;
  readonly chunks: ChunkTable;
  readonly work: WorkTable;
}

/** How long an entry is whoever's who took it, unless they say again that they are at it. */
export const LEASE_MS = 30_000;

export function vectorStoreTables(
  database: SqlDatabase,
  limits: StoreLimits & EntryLimits,
  leaseMs = LEASE_MS,
): VectorStoreTables {
  return {
    stores: new StoreTable(database, limits),
    entries: new EntryTable(database, limits),
    chunks: new ChunkTable(database),
    work: new WorkTable(database, randomHex(12), leaseMs),
  };
}
