import type { FileAttributes } from '@millrace/contracts';
import type { SqlDatabase } from '../stores/sql-database.js';

export interface StoredChunk {
  readonly text: string;
  /** Of its first characters, how many the chunk before ends with. */
  readonly overlap: number;
}

export interface FoundChunk {
  readonly entryId: string;
  readonly number: number;
  readonly fileId: string;
  readonly filename: string;
  readonly attributes: FileAttributes;
  readonly text: string;
}

/** By one statement: the embedded database serves nobody meanwhile. */
const REMOVED_ROWS_MAX = 500;

/** The text of chunks, by entry and number. @throws DatabaseUnavailable */
export class ChunkTable {
  constructor(private readonly database: SqlDatabase) {}

  /** In the place of what was there under these numbers. */
  async write(entryId: string, from: number, chunks: readonly StoredChunk[]): Promise<void> {
    await this.database.query(
      `insert into vector_store_chunks (entry_id, number, text, overlap)
       select $1, $2::integer + c.at - 1, c.text, c.overlap
       from unnest($3::text[], $4::integer[]) with ordinality as c (text, overlap, at)
       on conflict (entry_id, number) do update set text = excluded.text, overlap = excluded.overlap`,
      [entryId, from, chunks.map(({ text }) => text), chunks.map(({ overlap }) => overlap)],
    );
  }

  async read(entryId: string, from: number, count: number): Promise<readonly StoredChunk[]> {
    return this.database.query<StoredChunk>(
      'select text, overlap from vector_store_chunks where entry_id = $1 and number >= $2 order by number limit $3',
      [entryId, from, count],
    );
  }

  /** Of those that can be searched; what is not there any more is left out. */
  async find(ids: readonly { readonly entryId: string; readonly number: number }[]): Promise<readonly FoundChunk[]> {
    return this.database.query<FoundChunk>(
      `select c.entry_id as "entryId", c.number, f.file_id as "fileId", f.filename, f.attributes, c.text
       from unnest($1::text[], $2::integer[]) as asked (entry_id, number)
       join vector_store_chunks c on c.entry_id = asked.entry_id and c.number = asked.number
       join vector_store_files f on f.id = c.entry_id and f.status = 'completed'`,
      [ids.map(({ entryId }) => entryId), ids.map(({ number }) => number)],
    );
  }

  /** How many there are in a store, of all of its files that were cut. */
  async countIn(storeId: string): Promise<number> {
    const [row] = await this.database.query<{ number: number }>(
      "select coalesce(sum(chunks), 0)::bigint as number from vector_store_files where store_id = $1 and status in ('in_progress', 'completed')",
      [storeId],
    );
    return row?.number ?? 0;
  }

  async removeAll(entryId: string): Promise<void> {
    let removed: number;
    do {
      const [row] = await this.database.query<{ number: number }>(
        `with few as (select number from vector_store_chunks where entry_id = $1 limit ${REMOVED_ROWS_MAX}),
         gone as (delete from vector_store_chunks where entry_id = $1 and number in (select number from few) returning 1)
         select count(*) as number from gone`,
        [entryId],
      );
      removed = row?.number ?? 0;
    } while (removed === REMOVED_ROWS_MAX);
  }
}
