import { BATCH_FILE_SECONDS, type FilePurpose, InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type ByteRange, type ObjectStore, ObjectTooLarge, type OpenObject, type PutObject } from '@millrace/storage';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import { Erasures } from './erasures.js';
import { FILE_COLUMNS, type FileRow, VISIBLE } from './file-rows.js';
import { type FileOwner, inTurnOf, type KeptLimits, keptBy, keyOf, noRoom, refuseBeyond } from './kept-bytes.js';

/** The settings of the same names. */
export interface FileLimits extends KeptLimits {
  readonly fileBytesMax: number;
  readonly batchFileBytesMax: number;
  readonly fileUploadTimeoutMs: number;
}

export interface FileDetails {
  readonly filename: string;
  readonly purpose: FilePurpose;
  /** Undefined: never, or for a batch file after thirty days. */
  readonly expiresAfterSeconds?: number | undefined;
}

export interface CreateOptions {
  /** Undefined: `fileBytesMax`. */
  readonly bytesMax?: number | undefined;
  /** How much it will be, at least, where that is known: reserved until it is there. */
  readonly bytesExpected?: number | undefined;
  /** Written together with the file's becoming visible, or neither is: what else is to know of it. What it throws undoes both. */
  readonly together?: ((query: SqlQuery, file: FileRow) => Promise<void>) | undefined;
}

export interface FileListing {
  /** A file's id, which need not exist any more: the page begins behind it. */
  readonly after?: string | undefined;
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  readonly purpose?: FilePurpose | undefined;
}

export interface FilePage {
  readonly rows: readonly FileRow[];
  readonly hasMore: boolean;
}

/**
 * A failed creation does not tell whether it was committed. Where it was, what was written together with it names the file, which has to stay
 * then; where nothing was, nobody knows of the file, and it goes.
 */
type Erased = 'whatever it is' | 'unless it is ready';

/** What is written goes on for as long as an upload may take, and its sender and the clocks of two machines may be late. */
const LEFT_BEHIND_MS = 3_600_000;

/**
 * Files: what is known of them in the database, and their content in the object store, under their id. For every stage that reads or writes
 * files, all of whose callers are known by a key's id:
 *
 * - `create` keeps what comes, however large, without holding it.
 * - `find` and `list` tell of those that are there.
 * - `open` reads one that was found, or a part of it, as fast as it is wanted.
 * - `remove` removes one.
 *
 * A file of somebody else's is as if it were not there, and so is one that has expired, or is not whole yet.
 *
 * A row is written before its content and becomes visible after it; it is hidden before its content goes, and removed after it. So whatever
 * is killed or away in between, there is neither a file without content nor content without a row, and what stayed half done is found by its
 * row (file-sweep.ts).
 *
 * Everything throws `InferenceError` for what the caller did, `DatabaseUnavailable`, and `ObjectStoreUnavailable`.
 */
export class FileStore {
  readonly #erasures: Erasures;

  constructor(
    private readonly database: SqlDatabase,
    private readonly objects: ObjectStore,
    private readonly limits: FileLimits,
    logger: Logger,
  ) {
    this.#erasures = new Erasures(logger);
  }

  /**
   * @param content read no faster than it can be kept; what it throws is thrown, and nothing of it stays.
   * @param details asked for when all of the content has come: a form may tell them behind it.
   * @throws InferenceError `file_too_large`, `storage_limit_exceeded`; whatever `details` throws, and then nothing stays either.
   */
  async create(
    owner: FileOwner,
    content: AsyncIterable<Uint8Array>,
    details: FileDetails | (() => FileDetails | Promise<FileDetails>),
    signal: AbortSignal,
    { bytesMax = this.limits.fileBytesMax, bytesExpected, together }: CreateOptions = {},
  ): Promise<FileRow> {
    if (bytesExpected !== undefined && bytesExpected > bytesMax) throw tooLarge(bytesExpected, bytesMax);
    const id = timedId('file-');
    const bytesLeft = await this.#begin(id, owner, bytesExpected ?? 0);
    try {
      const limits = { bytesMax: Math.min(bytesMax, bytesLeft), bytesExpected };
      const put = await this.objects.put(id, content, signal, limits);
      const given = typeof details === 'function' ? await details() : details;
      this.#checkSize(given, put.bytes);
      return await this.#finish(id, owner, put, given, together);
    } catch (error) {
      // Nobody waits for that: what can't be removed now, the sweep will.
      void this.#erase(id, together === undefined ? 'whatever it is' : 'unless it is ready');
      throw this.#told(error, bytesMax);
    }
  }

  async find(owner: FileOwner, id: string): Promise<FileRow> {
    const [row] = isTimedId('file-', id)
      ? await this.database.query<FileRow>(
          `select ${FILE_COLUMNS} from files where id = $1 and key_id = $2 and ${VISIBLE}`,
          [id, keyOf(owner)],
        )
      : [];
    return row ?? notFound(id);
  }

  async list(owner: FileOwner, { after, limit, order, purpose }: FileListing): Promise<FilePage> {
    if (after !== undefined && !isTimedId('file-', after)) notFound(after, 'after');
    const rows = await this.database.query<FileRow>(
      `select ${FILE_COLUMNS} from files
        where key_id = $1 and ${VISIBLE} and ($2::text is null or id ${order === 'asc' ? '>' : '<'} $2)
          and ($3::text is null or purpose = $3)
        order by id ${order} limit $4::integer`,
      [keyOf(owner), after, purpose, limit + 1],
    );
    return { rows: rows.slice(0, limit), hasMore: rows.length > limit };
  }

  /**
   * Of a file that was found. Ownership: whoever gets it disposes of it, whether it was read or not.
   *
   * @param range a part of it; undefined: all of it.
   */
  async open({ id }: Pick<FileRow, 'id'>, signal: AbortSignal, range?: ByteRange): Promise<OpenObject> {
    // Removed in between; or by hand, and then it is not there either.
    return (await this.objects.open(id, signal, range)) ?? notFound(id);
  }

  /** Whoever reads it just now may go on. */
  async remove(owner: FileOwner, id: string): Promise<void> {
    const hidden = isTimedId('file-', id)
      ? await this.database.query(
          `update files set state = 'removing' where id = $1 and key_id = $2 and ${VISIBLE} returning id`,
          [id, keyOf(owner)],
        )
      : [];
    if (hidden.length === 0) notFound(id);
    await this.#erase(id);
  }

  /** Waits for what is being removed, for a moment. */
  close(): Promise<void> {
    return this.#erasures.close();
  }

  /** A row that nobody sees yet. @returns how many bytes there is room for. */
  #begin(id: string, owner: FileOwner, bytes: number): Promise<number> {
    const { fileBytesPerKeyMax, fileUploadTimeoutMs } = this.limits;
    return inTurnOf(owner, this.database, async (query) => {
      const kept = await keptBy(query, owner);
      refuseBeyond(kept, bytes, this.limits);
      await query(
        `insert into files (id, key_id, state, bytes, expires_at)
          values ($1, $2, 'pending', $3, now() + $4 * interval '1 millisecond')`,
        [id, keyOf(owner), bytes, fileUploadTimeoutMs + LEFT_BEHIND_MS],
      );
      return fileBytesPerKeyMax - kept.bytes;
    });
  }

  #finish(
    id: string,
    owner: FileOwner,
    { bytes, sha256 }: PutObject,
    details: FileDetails,
    together: CreateOptions['together'],
  ): Promise<FileRow> {
    const { fileBytesPerKeyMax } = this.limits;
    const { filename, purpose, expiresAfterSeconds = purpose === 'batch' ? BATCH_FILE_SECONDS : undefined } = details;
    return inTurnOf(owner, this.database, async (query) => {
      // Others may have come in meanwhile, and this one may be more than it said.
      const kept = await keptBy(query, owner, id);
      if (kept.bytes + bytes > fileBytesPerKeyMax) throw noRoom(kept.bytes, bytes, fileBytesPerKeyMax);
      const [row] = await query<FileRow>(
        `update files set state = 'ready', filename = $2, purpose = $3, bytes = $4, sha256 = $5,
            created_at = now(), expires_at = now() + $6 * interval '1 second'
          where id = $1 and state = 'pending' returning ${FILE_COLUMNS}`,
        [id, filename, purpose, bytes, sha256, expiresAfterSeconds],
      );
      if (row === undefined)
        throw new InferenceError(
          'request_timeout',
          'The file took so long that it was given up. Send it again, faster.',
        );
      await together?.(query, row);
      return row;
    });
  }

  /** Never throws: the row stays as long as its content may be there. */
  #erase(id: string, which: Erased = 'whatever it is'): Promise<void> {
    return this.#erasures.run(id, (signal) => this.#eraseNow(id, which, signal));
  }

  async #eraseNow(id: string, which: Erased, signal: AbortSignal): Promise<void> {
    // A commit that is still under way holds the row: this waits for it, and sees what came of it.
    const [row] = await this.database.query<{ state: string }>(
      "update files set state = case when $2 and state = 'ready' then state else 'removing' end where id = $1 returning state",
      [id, which === 'unless it is ready'],
    );
    if (row?.state === 'ready') return;
    await this.objects.remove([id], signal);
    await this.database.query("delete from files where id = $1 and state = 'removing'", [id]);
  }

  #checkSize({ purpose }: FileDetails, bytes: number): void {
    const { batchFileBytesMax } = this.limits;
    if (purpose === 'batch' && bytes > batchFileBytesMax) throw tooLarge(bytes, batchFileBytesMax, 'batchFileBytesMax');
  }

  #told(error: unknown, bytesMax: number): unknown {
    if (!(error instanceof ObjectTooLarge)) return error;
    return error.bytesMax < bytesMax
      ? noRoom(this.limits.fileBytesPerKeyMax - error.bytesMax, error.bytes, this.limits.fileBytesPerKeyMax)
      : tooLarge(error.bytes, bytesMax);
  }
}

function notFound(id: string, param = 'file_id'): never {
  throw new InferenceError(
    'file_not_found',
    `There is no file ${JSON.stringify(id.slice(0, 60))}: it never was, was deleted, or has expired. \`GET /v1/files\` lists those that are there.`,
    { param },
  );
}

type SizeSetting = 'fileBytesMax' | 'batchFileBytesMax' | 'uploadBytesMax';

export function tooLarge(bytes: number, bytesMax: number, setting: SizeSetting = 'fileBytesMax'): InferenceError {
  const [given, limit] = [bytes, bytesMax].map((count) => count.toLocaleString('en'));
  const what = setting === 'batchFileBytesMax' ? 'a batch file may have' : 'this server takes';
  return new InferenceError(
    'file_too_large',
    `The file has ${given} bytes or more; ${what} ${limit}. Send less, or raise ${setting}.`,
    { param: 'file' },
  );
}
