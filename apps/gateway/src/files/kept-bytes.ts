import { InferenceError } from '@millrace/contracts';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';

/** Whose a file is: the id of a key; undefined: whoever asks, while there are no keys. */
export type FileOwner = string | undefined;

/** The settings of the same names. */
export interface KeptLimits {
  readonly filesPerKeyMax: number;
  readonly fileBytesPerKeyMax: number;
}

export interface Kept {
  readonly files: number;
  readonly bytes: number;
}

/** Empty, so that it is equal to itself. */
export function keyOf(owner: FileOwner): string {
  return owner ?? '';
}

/** One at a time of those who change how much a key keeps, over all gateways. */
export function inTurnOf<T>(
  owner: FileOwner,
  database: SqlDatabase,
  work: (query: SqlQuery) => Promise<T>,
): Promise<T> {
  return database.transaction(async (query) => {
    await query("select pg_advisory_xact_lock(hashtext('millrace files'), hashtext($1))", [keyOf(owner)]);
    return work(query);
  });
}

/**
 * What counts against the limits of a key: among it uploads, with what was promised or with what their parts have, whichever is more.
 *
 * @param but a file or an upload that does not count.
 */
export async function keptBy(query: SqlQuery, owner: FileOwner, but = ''): Promise<Kept> {
  const [kept] = await query<Kept>(
    `select count(*) as files, coalesce(sum(bytes), 0)::bigint as bytes from (
        select bytes from files where key_id = $1 and state <> 'removing' and id <> $2
        union all select greatest(bytes, (select sum(bytes) from upload_parts where upload_id = uploads.id))
          from uploads where key_id = $1 and state = 'pending' and expires_at > now() and id <> $2
      ) as kept`,
    [keyOf(owner), but],
  );
  return kept!;
}

/** @throws InferenceError where one more file of so many bytes is too much. */
export function refuseBeyond(kept: Kept, bytes: number, { filesPerKeyMax, fileBytesPerKeyMax }: KeptLimits): void {
  if (kept.files >= filesPerKeyMax) throw tooMany(kept.files, filesPerKeyMax);
  if (kept.bytes + bytes > fileBytesPerKeyMax) throw noRoom(kept.bytes, bytes, fileBytesPerKeyMax);
}

function tooMany(files: number, filesMax: number): InferenceError {
  return new InferenceError(
    'storage_limit_exceeded',
    `${files.toLocaleString('en')} files are kept, and ${filesMax.toLocaleString('en')} may be. Delete some, or raise filesPerKeyMax.`,
    { param: 'file' },
  );
}

export function noRoom(kept: number, more: number, bytesMax: number): InferenceError {
  const [has, wants, limit] = [kept, more, bytesMax].map((count) => count.toLocaleString('en'));
  return new InferenceError(
    'storage_limit_exceeded',
    `The files that are kept have ${has} bytes, this one would add ${wants} or more, and ${limit} are allowed. Delete some, or raise fileBytesPerKeyMax.`,
    { param: 'file' },
  );
}
