import { type CreateUploadBody, InferenceError, PARTS_MAX } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type ObjectStore, ObjectTooLarge } from '@millrace/storage';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import { Erasures } from './erasures.js';
import { tooLarge } from './file-store.js';
import { type FileOwner, inTurnOf, type KeptLimits, keptBy, keyOf, refuseBeyond } from './kept-bytes.js';
import { bytesLeftIn, type PartRoom, refusePartBeyond } from './part-room.js';
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
        [timedId('upload_'), keyOf(owner), filename, purpose, mime_type, bytes, expires_after?.seconds, uploadAgeMsMax],
      );
      return row!;
    });
  }

  /**
   * @param bytesExpected how much it will be, at least; undefined: nobody knows.
   * @throws InferenceError `file_too_large`; `storage_limit_exceeded`; where there are more or larger parts than the upload may have.
   */
  async addPart(
    owner: FileOwner,
    uploadId: string,
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    bytesExpected: number | undefined,
  ): Promise<PartRow> {
    const id = timedId('part_');
    const room = await this.#begin(owner, uploadId, id, bytesExpected ?? 0);
    try {
      const limits = { bytesMax: bytesLeftIn(room), bytesExpected };
      const { bytes } = await this.objects.put(partsPrefix(uploadId) + id, content, signal, limits);
      return await this.#finish(owner, uploadId, id, bytes);
    } catch (error) {
      void this.#erasures.run(id, (removing) => this.#erasePart(uploadId, id, removing));
      if (error instanceof ObjectTooLarge) refusePartBeyond(room, error.bytes);
      throw error;
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

  /** A row that counts with what it is expected to have. */
  #begin(owner: FileOwner, uploadId: string, id: string, bytes: number): Promise<PartRoom> {
    return this.#inTurnOf(owner, uploadId, async (query, upload) => {
      const room = await this.#roomFor(query, owner, upload, id);
      if (room.parts >= PARTS_MAX) throw tooManyParts(room.parts);
      refusePartBeyond(room, bytes);
      await query("insert into upload_parts (id, upload_id, state, bytes) values ($1, $2, 'pending', $3)", [
        id,
        uploadId,
        bytes,
      ]);
      return room;
    });
  }

  #finish(owner: FileOwner, uploadId: string, id: string, bytes: number): Promise<PartRow> {
    return this.#inTurnOf(owner, uploadId, async (query, upload) => {
      // Others may have come in meanwhile, and this one may be more than it said.
      refusePartBeyond(await this.#roomFor(query, owner, upload, id), bytes);
      const [row] = await query<PartRow>(
        `update upload_parts set state = 'ready', bytes = $2 where id = $1 returning ${PART_COLUMNS}`,
        [id, bytes],
      );
      return row ?? uploadNotFound(uploadId);
    });
  }

  /** @throws InferenceError unless the upload takes parts; it does until the end of `work`. */
  #inTurnOf<T>(
    owner: FileOwner,
    uploadId: string,
    work: (query: SqlQuery, upload: UploadRow) => Promise<T>,
  ): Promise<T> {
    return inTurnOf(owner, this.database, async (query) => {
      const upload = await findIn(query, owner, uploadId, 'for update');
      refuseUnlessOpen(upload);
      return work(query, upload);
    });
  }

  async #roomFor(query: SqlQuery, owner: FileOwner, upload: UploadRow, partId: string): Promise<PartRoom> {
    const [sent] = await query<{ parts: number; bytes: number }>(
      `select count(*) as parts, coalesce(sum(bytes), 0)::bigint as bytes
        from upload_parts where upload_id = $1 and id <> $2`,
      [upload.id, partId],
    );
    const { bytes: besides } = await keptBy(query, owner, upload.id);
    const { fileBytesPerKeyMax: keptMax } = this.limits;
    return { parts: sent!.parts, sent: sent!.bytes, promised: upload.bytes, besides, keptMax };
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
  const [row] = isTimedId('upload_', id)
    ? await query<UploadRow>(`select ${UPLOAD_COLUMNS} from uploads where id = $1 and key_id = $2 ${lock}`, [
        id,
        keyOf(owner),
      ])
    : [];
  return row ?? uploadNotFound(id);
}

function tooManyParts(parts: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The upload has ${parts.toLocaleString('en')} parts, and may have ${PARTS_MAX.toLocaleString('en')}. Send larger ones.`,
    { param: 'data' },
  );
}
