import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CompleteUploadBody, InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type ObjectStore, ObjectStoreUnavailable } from '@millrace/storage';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../stores/sql-database.js';
import { isTimedId } from '../stores/timed-ids.js';
import type { FileRow } from './file-rows.js';
import type { FileStore } from './file-store.js';
import type { FileOwner } from './kept-bytes.js';
import { partsPrefix, refuseUnlessOpen, UPLOAD_COLUMNS, type UploadRow } from './upload-rows.js';
import { findIn, type UploadStore } from './upload-store.js';

/** Whoever puts a file together says so anew in this time; another takes over when they are silent for longer than the lease. */
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
/** While somebody else is at it: the shortest wait first, and twice as long each time, since what takes long takes minutes. */
const LOOK_MS_MIN = 250;
const LOOK_MS_MAX = 4_000;

export interface CompletedUpload {
  readonly upload: UploadRow;
  /** Undefined: it was removed since. */
  readonly file: FileRow | undefined;
}

/** What is to be put together, by whom. */
interface Turn {
  readonly by: string;
  readonly owner: FileOwner;
  readonly upload: UploadRow;
  readonly partIds: readonly string[];
  readonly md5: string | undefined;
  /** Held until its file is there, or is not to be. */
  readonly place: Disposable | undefined;
}

/** Whoever completes an upload, and how. */
export interface CompletionOptions {
  /** Asked where it falls to this one to put the file together, and not while another does. What it throws is thrown, and nothing is begun. */
  readonly takePlace?: (() => Disposable) | undefined;
}

/**
 * Makes one file of the parts of an upload, read and written as a stream. That may take minutes, in which a client gives up and asks again: so it
 * goes on when the client has left, and whoever asks meanwhile waits for the same. File and upload change in one transaction: however often it
 * is asked or killed, one file comes of it.
 *
 * Ownership: `close` ends what is running; the upload can be completed by another gateway then.
 */
export class UploadCompletion {
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(
    private readonly database: SqlDatabase,
    private readonly objects: ObjectStore,
    private readonly files: FileStore,
    private readonly uploads: UploadStore,
    private readonly logger: Logger,
  ) {}

  async complete(
    owner: FileOwner,
    id: string,
    { part_ids, md5 }: CompleteUploadBody,
    signal: AbortSignal,
    { takePlace }: CompletionOptions = {},
  ): Promise<CompletedUpload> {
    for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(2 * lookMs, LOOK_MS_MAX)) {
      const turn = await this.#take(owner, id, part_ids, md5?.toLowerCase(), takePlace);
      if (turn === 'busy') await sleep(lookMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      else if ('upload' in turn && 'by' in turn) await untilLeft(this.#tracked(this.#assemble(turn)), signal);
      else return this.#completed(owner, turn);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new DatabaseUnavailable('This process is ending.'));
    await Promise.allSettled(this.#running);
  }

  /** @returns the upload itself where it is completed already. */
  async #take(
    owner: FileOwner,
    id: string,
    partIds: readonly string[],
    md5: string | undefined,
    takePlace: CompletionOptions['takePlace'],
  ): Promise<Turn | UploadRow | 'busy'> {
    let place: Disposable | undefined;
    try {
      return await this.database.transaction(async (query): Promise<Turn | UploadRow | 'busy'> => {
        const upload = await findIn(query, owner, id, 'for update');
        if (upload.state === 'completed') return sameParts(upload, partIds);
        if (upload.busy) return 'busy';
        refuseUnlessOpen(upload);
        await checkParts(query, upload, partIds);
        place = takePlace?.();
        const by = randomUUID();
        await query(
          `update uploads set state = 'completing', completing_by = $2,
            lease_expires_at = now() + $3 * interval '1 millisecond' where id = $1`,
          [id, by, LEASE_MS],
        );
        return { by, owner, upload, partIds, md5, place };
      });
    } catch (error) {
      place?.[Symbol.dispose]();
      throw error;
    }
  }

  async #assemble(turn: Turn): Promise<void> {
    const { by, owner, upload, partIds } = turn;
    using _place = turn.place;
    const lost = new AbortController();
    const signal = AbortSignal.any([lost.signal, this.#closing.signal]);
    const renewing = setInterval(() => void this.#renew(turn, lost), RENEW_MS);
    const md5 = createHash('md5');
    const details = () => {
      checkMd5(turn.md5, md5.digest('hex'));
      const { filename, purpose, expires_after_seconds } = upload;
      return { filename, purpose, expiresAfterSeconds: expires_after_seconds ?? undefined };
    };
    try {
      await this.files.create(owner, this.#joined(upload, partIds, md5, signal), details, signal, {
        bytesMax: upload.bytes,
        bytesExpected: upload.bytes,
        together: (query, file) => settle(query, turn, file),
      });
    } catch (error) {
      await this.#giveBack(upload.id, by);
      throw error;
    } finally {
      clearInterval(renewing);
    }
    await this.uploads.removeParts(upload.id);
  }

  async *#joined(
    { id }: UploadRow,
    partIds: readonly string[],
    md5: ReturnType<typeof createHash>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    for (const partId of partIds) {
      await using part = await this.objects.open(partsPrefix(id) + partId, signal);
      if (part === undefined) throw new ObjectStoreUnavailable(`The content of ${partId} is not in the object store.`);
      for await (const piece of part.content) {
        md5.update(piece);
        yield piece;
      }
    }
  }

  async #renew({ by, upload }: Turn, lost: AbortController): Promise<void> {
    try {
      const mine = await this.database.query(
        `update uploads set lease_expires_at = now() + $3 * interval '1 millisecond'
          where id = $1 and completing_by = $2 and state = 'completing' returning id`,
        [upload.id, by, LEASE_MS],
      );
      if (mine.length === 0) lost.abort(leaseLost());
    } catch {
      // There is time for further attempts; and if it is lost, nothing comes of it in the end.
    }
  }

  /** So that it can be completed again, with other parts perhaps. */
  async #giveBack(id: string, by: string): Promise<void> {
    const given = this.database.query(
      // Whoever's lease ran out may find it cancelled, or completed after all.
      `update uploads set state = 'pending', completing_by = null
        where id = $1 and completing_by = $2 and state = 'completing'`,
      [id, by],
    );
    await given.catch((error) => this.logger.debug({ error, upload: id }, 'an upload is free again only in a minute'));
  }

  async #completed(owner: FileOwner, upload: UploadRow): Promise<CompletedUpload> {
    try {
      return { upload, file: await this.files.find(owner, upload.file_id!) };
    } catch (error) {
      if (error instanceof InferenceError) return { upload, file: undefined };
      throw error;
    }
  }

  async #tracked<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}

/** In the transaction in which the file becomes visible. */
async function settle(query: SqlQuery, { by, upload, partIds }: Turn, file: FileRow): Promise<void> {
  const settled = await query(
    `update uploads set state = 'completed', file_id = $3, part_ids = $4
      where id = $1 and completing_by = $2 and state = 'completing' returning ${UPLOAD_COLUMNS}`,
    [upload.id, by, file.id, partIds],
  );
  if (settled.length === 0) throw leaseLost();
}

function leaseLost(): DatabaseUnavailable {
  return new DatabaseUnavailable('Another gateway took over the completion of this upload.');
}

/** What is awaited goes on, whoever asked for it. */
async function untilLeft(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  work.catch(() => {}); // It may fail when nobody waits for it any more.
  try {
    await Promise.race([work, left.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function sameParts(upload: UploadRow, partIds: readonly string[]): UploadRow {
  const same = upload.part_ids?.length === partIds.length && partIds.every((id, at) => upload.part_ids?.[at] === id);
  if (same) return upload;
  throw new InferenceError(
    'invalid_request',
    `The upload ${upload.id} is completed, with other parts than these. Begin anew with POST /v1/uploads.`,
    { param: 'part_ids' },
  );
}

async function checkParts(query: SqlQuery, { id, bytes }: UploadRow, partIds: readonly string[]): Promise<void> {
  const rows = await query<{ id: string; bytes: number }>(
    "select id, bytes from upload_parts where upload_id = $1 and state = 'ready' and id = any($2)",
    [id, partIds.filter((partId) => isTimedId('part_', partId))],
  );
  const bytesOf = new Map(rows.map((row) => [row.id, row.bytes]));
  let sum = 0;
  for (const [index, partId] of partIds.entries()) {
    const param = `part_ids[${index}]`;
    const partBytes = bytesOf.get(partId);
    if (partBytes === undefined)
      throw new InferenceError(
        'invalid_request',
        `\`${param}\` is ${JSON.stringify(partId.slice(0, 60))}, and this upload has no such part, or it is named before. Name each of its parts once.`,
        { param },
      );
    bytesOf.delete(partId);
    sum += partBytes;
  }
  if (sum === bytes) return;
  const [has, said] = [sum, bytes].map((count) => count.toLocaleString('en'));
  throw new InferenceError(
    'invalid_request',
    `The parts have ${has} bytes together, and ${said} were promised when the upload began. Add what is missing, or begin anew.`,
    { param: 'part_ids' },
  );
}

function checkMd5(expected: string | undefined, found: string): void {
  if (expected === undefined || expected === found) return;
  throw new InferenceError(
    'invalid_request',
    `\`md5\` is ${expected}, and that of the parts in this order is ${found}. Name the parts in the order of the file, or send again what was damaged.`,
    { param: 'md5' },
  );
}
