import { InferenceError } from '@millrace/contracts';
import type { BatchFile, BatchFiles, FileRange, NewOutputFile, OpenFile } from '../batch-jobs/batch-files.js';
import type { FileStore } from '../files/file-store.js';
import type { SqlQuery } from '../stores/sql-database.js';

/** The files of a batch's key, as batches ask for them. */
export class BatchFileAccess implements BatchFiles {
  constructor(private readonly files: FileStore) {}

  find(id: string, keyId: string | null): Promise<BatchFile | undefined> {
    return ifThere(this.files.find(keyId ?? undefined, id));
  }

  async open(
    id: string,
    keyId: string | null,
    range: FileRange | undefined,
    signal: AbortSignal,
  ): Promise<OpenFile | undefined> {
    const file = await ifThere(this.files.find(keyId ?? undefined, id));
    return file && ifThere(this.files.open(file, signal, range));
  }

  async create(
    { keyId, filename, expiresAfterSeconds }: NewOutputFile,
    content: AsyncIterable<Uint8Array>,
    together: (query: SqlQuery, fileId: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const details = { filename, purpose: 'batch_output', expiresAfterSeconds } as const;
    // As large as it comes: what may be asked was limited before.
    await this.files.create(keyId ?? undefined, content, details, signal, {
      bytesMax: Number.MAX_SAFE_INTEGER,
      together: (query, { id }) => together(query, id),
    });
  }
}

async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof InferenceError && error.code === 'file_not_found') return undefined;
    throw error;
  }
}
