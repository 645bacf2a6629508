import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { FolderObjectStore, type ObjectStore } from '@millrace/storage';
import type { SqlDatabase } from '../stores/sql-database.js';
import { openFiles, type StoredFiles, type StoredFilesSettings } from './stored-files.js';

export const FILE_LIMITS: StoredFilesSettings = {
  fileBytesMax: 512 * 1024 * 1024,
  batchFileBytesMax: 200_000_000,
  filesPerKeyMax: 10_000,
  fileBytesPerKeyMax: 100 * 1024 ** 3,
  fileUploadTimeoutMs: 3_600_000,
  uploadBytesMax: 8 * 1024 ** 3,
  uploadAgeMsMax: 3_600_000,
};

export const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** A folder that goes with it. */
export function folderOfItsOwn(): ObjectStore & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-files-'));
  const store = new FolderObjectStore(folder);
  const close = store.close.bind(store);
  return Object.assign(store, {
    folder,
    close: async () => {
      await close();
      rmSync(folder, { recursive: true, force: true });
    },
  }) as unknown as ObjectStore & { readonly folder: string };
}

export function filesOn(
  database: SqlDatabase,
  objects: ObjectStore,
  limits: Partial<StoredFilesSettings> = {},
): StoredFiles {
  return openFiles(database, objects, { ...FILE_LIMITS, ...limits }, silent);
}

export async function* piecesOf(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** Every object that is there. */
export async function keysIn(objects: ObjectStore): Promise<string[]> {
  const page = await objects.list('', { limit: 1_000 }, new AbortController().signal);
  return page.map(({ key }) => key);
}
