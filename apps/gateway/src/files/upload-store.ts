import { type CreateUploadBody, InferenceError, PART_BYTES_MAX, PARTS_MAX } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type ObjectStore, ObjectTooLarge } from '@millrace/storage';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { Erasures } from './erasures.js';
import { isIdOf, newId } from './file-ids.js';
import { tooLarge } from './file-store.js';
import { type FileOwner, inTurnOf, type KeptLimits, keptBy, keyOf, refuseBeyond } from './kept-bytes.js';
import { removeUnder } from './remove-under.js';
import {
  PART_COLUMNS,
  type PartRow,
  partsPrefix,
  refuseUnlessOpen,
  UPLOAD_COLUMNS,
  type UploadRow,
  uploadNotFound,
} from './upload-rows.js';

/** The settings of the same names. */
export interface UploadLimits extends KeptLimits {
  readonly uploadBytesMax: number;
  readonly batchFileBytesMax: number;
  readonly uploadAgeMsMax: number;
}

/** Parts are sent again where their answer was lost; so much of that is kept beyond what was promised. */
const SPARE_BYTES = 10 * PART_BYTES_MAX;

/**
 * Files that come in parts: what was promised in the database, and the content of each part in the object store under `<upload>/<part>`, until
 * the upload is over and everything below its id is removed. The file itself is made by upload-completion.ts.
 *
 * Everything throws `InferenceError` for what the caller did, `DatabaseUnavailable`, and `ObjectStoreUnavailable`.
 */
export class UploadStore {
  readonly #erasures: Erasures;

  constructor(
    private readonly database: SqlDatabase,
    private readonly objects: ObjectStore,
    private readonly limits: UploadLimits,
    logger: Logger,
  ) {
    this.#erasures = new Erasures(logger);
  }

  /** @throws InferenceError `file_too_large`, `storage_limit_exceeded`: what is promised counts as if it were there. */
  async create(owner: FileOwner, asked: CreateUploadBody): Promise<UploadRow> {
    const { bytes, purpose, filename, mime_type, expires_after } = asked;
    const { uploadBytesMax, batchFileBytesMax, uploadAgeMsMax } = this.limits;
    if (bytes > uploadBytesMax) throw tooLarge(bytes, uploadBytesMax, 'uploadBytesMax');
    if (purpose === 'batch' && bytes > batchFileBytesMax) throw tooLarge(bytes, batchFileBytesMax, 'batchFileBytesMax');
    return inTurnOf(owner, this.database, async (query) => {
      refuseBeyond(await keptBy(query, owner), bytes, this.limits);
      const [row] = await query<UploadRow>(
        `insert into uploads (id, key_id, state, filename, purpose, mime_type, bytes, expires_after_seconds, expires_at)
          values ($1, $2, 'pending', $3, $4, $5, $6, $7, now() + $8 * interval '1 millisecond') returning ${UPLOAD_COLUMNS}`,
        [newId('upload_'), keyOf(owner), filename, purpose, mime_type, bytes, expires_after?.seconds, uploadAgeMsMax],
      );
      return row!;
    });
  }

  /** @param bytesExpected how much it will be at most; undefined: nobody knows. */
  async addPart(
    owner: FileOwner,
    uploadId: string,
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    bytesExpected: number | undefined,
  ): Promise<PartRow> {
    const id = newId('part_');
    await this.#begin(owner, uploadId, id, Math.min(bytesExpected ?? PART_BYTES_MAX, PART_BYTES_MAX));
    try {
      const limits = { bytesMax: PART_BYTES_MAX, bytesExpected };
      const { bytes } = await this.objects.put(partsPrefix(uploadId) + id, content, signal, limits);
      const [row] = await this.database.query<PartRow>(
        `update upload_parts set state = 'ready', bytes = $3 where id = $1
            and exists (select from uploads where id = $2 and state = 'pending' and expires_at > now())
          returning ${PART_COLUMNS}`,
        [id, uploadId, bytes],
      );
      if (row !== undefined) return row;
      refuseUnlessOpen(await this.find(owner, uploadId));
      return uploadNotFound(uploadId);
    } catch (error) {
      void this.#erasures.run(id, (removing) => this.#erasePart(uploadId, id, removing));
      throw error instanceof ObjectTooLarge ? partTooLarge(error.bytes) : error;
    }
  }

  async find(owner: FileOwner, id: string): Promise<UploadRow> {
    return findIn(this.database.query.bind(this.database), owner, id);
  }

  /** Cancelling it again changes nothing. */
  async cancel(owner: FileOwner, id: string): Promise<UploadRow> {
    const cancelled = await this.database.transaction(async (query) => {
      const row = await findIn(query, owner, id, 'for update');
      if (row.state !== 'cancelled') refuseUnlessOpen(row);
      const [changed] = await query<UploadRow>(
        `update uploads set state = 'cancelled' where id = $1 returning ${UPLOAD_COLUMNS}`,
        [id],
      );
      return changed!;
    });
    await this.removeParts(id);
    return cancelled;
  }

  /** Of one that is over. Never throws: what stays is removed when it expires. */
  removeParts(id: string): Promise<void> {
    return this.#erasures.run(id, (signal) => removeUnder(this.objects, partsPrefix(id), signal));
  }

  /** Waits for what is being removed, for a moment. */
  close(): Promise<void> {
    return this.#erasures.close();
  }

  #begin(owner: FileOwner, uploadId: string, id: string, bytes: number): Promise<void> {
    return this.database.transaction(async (query) => {
      const upload = await findIn(query, owner, uploadId, 'for update');
      refuseUnlessOpen(upload);
      const [sent] = await query<{ parts: number; bytes: number }>(
        'select count(*) as parts, coalesce(sum(bytes), 0)::bigint as bytes from upload_parts where upload_id = $1',
        [uploadId],
      );
      if (sent!.parts >= PARTS_MAX) throw tooManyParts(sent!.parts);
      if (sent!.bytes + bytes > upload.bytes + SPARE_BYTES) throw tooMuch(sent!.bytes + bytes, upload.bytes);
      await query("insert into upload_parts (id, upload_id, state, bytes) values ($1, $2, 'pending', $3)", [
        id,
        uploadId,
        bytes,
      ]);
    });
  }

  async #erasePart(uploadId: string, id: string, signal: AbortSignal): Promise<void> {
    await this.objects.remove([partsPrefix(uploadId) + id], signal);
    await this.database.query('delete from upload_parts where id = $1', [id]);
  }
}

/** @param lock so that it stays as it is for the rest of the transaction. */
export async function findIn(
  query: SqlQuery,
  owner: FileOwner,
  id: string,
  lock: '' | 'for update' = '',
): Promise<UploadRow> {
  const [row] = isIdOf('upload_', id)
    ? await query<UploadRow>(`select ${UPLOAD_COLUMNS} from uploads where id = $1 and key_id = $2 ${lock}`, [
        id,
        keyOf(owner),
      ])
    : [];
  return row ?? uploadNotFound(id);
}

function partTooLarge(bytes: number): InferenceError {
  const [given, limit] = [bytes, PART_BYTES_MAX].map((count) => count.toLocaleString('en'));
  return new InferenceError('file_too_large', `The part has ${given} bytes or more; a part may have ${limit}.`, {
    param: 'data',
  });
}

function tooManyParts(parts: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The upload has ${parts.toLocaleString('en')} parts, and may have ${PARTS_MAX.toLocaleString('en')}. Send larger ones.`,
    { param: 'data' },
  );
}

function tooMuch(sent: number, promised: number): InferenceError {
  const [has, said] = [sent, promised].map((count) => count.toLocaleString('en'));
  return new InferenceError(
    'invalid_request',
    `The parts of this upload would have ${has} bytes together, and ${said} were promised. Begin anew, with as many bytes as there are.`,
    { param: 'data' },
  );
}
