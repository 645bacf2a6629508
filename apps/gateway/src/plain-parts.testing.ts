import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderObjectStore, ModelStore } from '@millrace/storage';
import { BatchStore } from './batch-jobs/batch-store.js';
import { FILE_LIMITS, silent } from './files/files.testing.js';
import { openFiles } from './files/stored-files.js';
import { MemoryKeyNews } from './keys/adapters/memory-key-news.js';
import { EVERYBODY } from './keys/authenticator.js';
import { KeyStore } from './keys/key-store.js';
import { UNLIMITED } from './limits/caller-rates.js';
import type { Parts } from './open-parts.js';
import { UsageTotals } from './request-log/usage-totals.js';
import { NOTHING_KEPT } from './responses/response-store.js';
import { responsesOn } from './responses/responses.testing.js';
import { ThoughtSeal } from './responses/thought-seal.js';
import { fixedModels } from './routing/models-in-force.js';
import { StoredChats } from './stored-chats/stored-chats.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';
import { DatabaseUnavailable, type SqlDatabase } from './stores/sql-database.js';
import { vectorStoreTables } from './vector-stores/vector-store-tables.js';

/** A database that is never there. */
export const NO_DATABASE: SqlDatabase = {
  query: async () => {
    throw new DatabaseUnavailable('There is no database here.');
  },
  transaction: async () => {
    throw new DatabaseUnavailable('There is no database here.');
  },
  trouble: undefined,
  close: async () => {},
};

const NO_SOURCES = {
  ...{ mayAsk: () => false, silenceMsMax: 1_000, hubUrl: 'http://127.0.0.1:1' },
  ...{ hubToken: undefined, openBucket: undefined },
};

const STORED_CHAT_LIMITS = { storedChatDays: 1, storedChatsPerKeyMax: 1, storedChatBytesMax: 1_000_000 };

/** No stores at all: anybody may ask, as much as they want, and nothing is kept. What is tried here stands on none of them. */
export function plainParts(changes: Partial<Parts> = {}): Parts {
  const objects = new FolderObjectStore(join(tmpdir(), `millrace-files-${process.pid}`));
  return {
    authenticator: EVERYBODY,
    keys: {
      store: new KeyStore(NO_DATABASE, 'a secret of thirty-two characters', { keysMax: 1 }),
      ring: { lookNow: async () => {} },
      news: new MemoryKeyNews(),
    },
    rates: UNLIMITED,
    redis: undefined,
    queueRedis: undefined,
    totals: new UsageTotals(NO_DATABASE, { pending: 0, batches: 0, unwrittenTokens: () => 0 }),
    responseCache: undefined,
    vectors: undefined,
    objects,
    files: openFiles(NO_DATABASE, objects, FILE_LIMITS, silent),
    jobs: new SqlJobQueue(NO_DATABASE, { queue: 'none', leaseMs: 1_000, jobsMax: 1 }),
    batches: new BatchStore(NO_DATABASE),
    storedChats: new StoredChats(NO_DATABASE, STORED_CHAT_LIMITS, silent),
    responseTables: responsesOn(NO_DATABASE),
    responseJobs: new SqlJobQueue(NO_DATABASE, { queue: 'none', leaseMs: 1_000, jobsMax: 1 }),
    modelStore: new ModelStore({ folder: join(tmpdir(), `millrace-models-${process.pid}`), sources: NO_SOURCES }),
    vectorTables: vectorStoreTables(NO_DATABASE, { vectorStoresPerKeyMax: 1, vectorStoreFilesMax: 1 }),
    responses: NOTHING_KEPT,
    thoughts: new ThoughtSeal('a secret of thirty-two characters'),
    models: fixedModels(),
    listeners: [],
    broken: new Promise(() => {}),
    obstacle: () => undefined,
    degraded: () => [],
    close: async () => {},
    ...changes,
  };
}
