import type { Logger } from '@millrace/runtime';
import type { ObjectStore } from '@millrace/storage';
import type { SqlDatabase } from '../stores/sql-database.js';
import { type FileLimits, FileStore } from './file-store.js';
import { FileSweep } from './file-sweep.js';
import { UploadCompletion } from './upload-completion.js';
import { type UploadLimits, UploadStore } from './upload-store.js';

export type StoredFilesSettings = FileLimits & UploadLimits;

/** Files, and what makes them of parts and removes what is left behind. */
export interface StoredFiles {
  readonly store: FileStore;
  readonly uploads: UploadStore;
  readonly completion: UploadCompletion;
  /** To be started. */
  readonly sweep: FileSweep;
  close(): Promise<void>;
}

/** Neither the database nor the object store is its own. */
export function openFiles(
  database: SqlDatabase,
  objects: ObjectStore,
  settings: StoredFilesSettings,
  logger: Logger,
): StoredFiles {
  const store = new FileStore(database, objects, settings, logger);
  const uploads = new UploadStore(database, objects, settings, logger);
  const completion = new UploadCompletion(database, objects, store, uploads, logger);
  const sweep = new FileSweep(database, objects, logger);
  const close = async () => {
    await completion.close();
    await Promise.all([sweep.close(), store.close(), uploads.close()]);
  };
  return { store, uploads, completion, sweep, close };
}
