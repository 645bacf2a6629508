import type { SqlQuery } from '../stores/sql-database.js';

/** What batches need of files. Everything may throw that the object store or the database is away. */
export interface BatchFiles {
  /** Undefined: there is none of this id, or it is another's. @param keyId whose it must be; null: while there are no keys. */
  find(id: string, keyId: string | null): Promise<BatchFile | undefined>;
  /** Its content, or so much of it. Undefined: it is gone. Ownership: whoever gets it disposes of it. */
  open(
    id: string,
    keyId: string | null,
    range: FileRange | undefined,
    signal: AbortSignal,
  ): Promise<OpenFile | undefined>;
  /**
   * A file of the purpose `batch_output`.
   *
   * @param together is written in the same transaction as what makes the file visible; what it throws undoes both.
   */
  create(
    file: NewOutputFile,
    content: AsyncIterable<Uint8Array>,
    together: (query: SqlQuery, fileId: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

export interface BatchFile {
  readonly id: string;
  readonly bytes: number;
  readonly purpose: string;
}

export interface FileRange {
  readonly from: number;
  readonly bytes: number;
}

export interface OpenFile extends AsyncDisposable {
  readonly content: AsyncIterable<Uint8Array>;
}

export interface NewOutputFile {
  readonly keyId: string | null;
  readonly filename: string;
  /** Undefined: it stays. */
  readonly expiresAfterSeconds: number | undefined;
}
