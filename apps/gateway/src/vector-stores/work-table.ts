import type { SqlDatabase } from '../stores/sql-database.js';

/** An entry with which something is to be done, for whoever took it. */
export interface TakenEntry {
  readonly id: string;
  readonly store_id: string;
  readonly key_id: string;
  readonly file_id: string;
  readonly filename: string;
  /** `in_progress`: it is to be read; else what is left of it is to be removed. */
  readonly status: 'in_progress' | 'completed' | 'cancelled' | 'failed' | 'deleted';
  readonly chunk_tokens_asked: number | null;
  readonly overlap_tokens_asked: number | null;
  readonly chunks: number | null;
  readonly chunks_done: number;
  readonly attempts: number;
  readonly delays: number;
  /** Since it was attached, by the database's clock. */
  readonly age_ms: number;
  readonly embedding_model: string | null;
  readonly dimension: number | null;
}

export type FailureCode = 'server_error' | 'unsupported_file' | 'invalid_file';

/** Others' files wait, and it had its time: whoever works on it puts it back, and goes on with it later. */
export class GaveWay extends Error {
  override readonly name = 'GaveWay';
}

/** It was cancelled, deleted, or is another's by now: whoever works on it stops, and says nothing. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

const TO_DO = "(status = 'in_progress' or has_remains or status = 'deleted')";
const IS_FREE = '(taken_until is null or taken_until < now())';

/**
 * What is to be done with entries, and who is at it. The state of a file and the lease on it are one row, so that nothing can be in one place
 * and not in the other: what was attached is done, whoever is killed meanwhile.
 *
 * @throws DatabaseUnavailable
 */
export class WorkTable {
  constructor(
    private readonly database: SqlDatabase,
    /** Who takes: another one in each process. */
    private readonly taker: string,
    private readonly leaseMs: number,
  ) {}

  /**
   * Up to so many that are due. A key that has few in hand goes before one that has many, and chance decides between equals, so that nobody's
   * thousand files keep another's one from being read; each key's own go in turn.
   */
  async take(limit: number): Promise<readonly TakenEntry[]> {
    const taken = await this.database.query<{ id: string }>(
      `with running as (
         select key_id, count(*) as number from vector_store_files where ${TO_DO} and taken_until >= now() group by key_id
       ),
       due as (
         select id, coalesce(r.number, 0) + row_number() over (partition by f.key_id order by f.not_before, f.id) as turn
         from vector_store_files f left join running r on r.key_id = f.key_id
         where ${TO_DO} and not_before <= now() and ${IS_FREE}
       )
       update vector_store_files set taken_by = $1, taken_until = now() + $2 * interval '1 millisecond', attempts = attempts + 1
       where id in (select id from due order by turn, random() limit $3) and ${TO_DO} and ${IS_FREE}
       returning id`,
      [this.taker, this.leaseMs, limit],
    );
    if (taken.length === 0) return [];
    return this.database.query<TakenEntry>(
      `select f.id, f.store_id, f.key_id, f.file_id, f.filename, f.status, f.chunk_tokens_asked, f.overlap_tokens_asked, f.chunks,
         f.chunks_done, f.attempts, f.delays, (extract(epoch from now() - f.created_at) * 1000)::bigint as age_ms,
         s.embedding_model, s.dimension
       from vector_store_files f join vector_stores s on s.id = f.store_id where f.id = any($1::text[])`,
      [taken.map(({ id }) => id)],
    );
  }

  /** @throws Superseded */
  async extend(entry: TakenEntry): Promise<void> {
    await this.#update(entry, "taken_until = now() + $4 * interval '1 millisecond'", [this.leaseMs]);
  }

  /** All of its chunks are written. @throws Superseded */
  async cut(entry: TakenEntry, chunks: number, chunkTokens: number, overlapTokens: number): Promise<void> {
    const set = 'chunks = $4, chunk_tokens = $5, overlap_tokens = $6, chunks_done = 0, usage_bytes = 0';
    await this.#update(entry, set, [chunks, chunkTokens, overlapTokens]);
  }

  /** It is to be cut anew. @throws Superseded */
  async uncut(entry: TakenEntry): Promise<void> {
    await this.#update(entry, 'chunks = null, chunks_done = 0, usage_bytes = 0', []);
  }

  /** Of so many chunks the vectors are there. @throws Superseded */
  async advance(entry: TakenEntry, chunksDone: number, usageBytes: number): Promise<void> {
    await this.#update(entry, 'chunks_done = $4, usage_bytes = usage_bytes + $5', [chunksDone, usageBytes]);
  }

  /** @throws Superseded */
  async complete(entry: TakenEntry): Promise<void> {
    await this.#update(entry, `status = 'completed', ${RELEASED}`, []);
  }

  /** @throws Superseded */
  async fail(entry: TakenEntry, code: FailureCode, message: string): Promise<void> {
    const set = `status = 'failed', has_remains = true, error_code = $4, error_message = $5, usage_bytes = 0, not_before = now(), ${RELEASED}`;
    await this.#update(entry, set, [code, keepable(message)]);
  }

  /** Whether a file of another key could be taken. */
  async othersWait(entry: TakenEntry): Promise<boolean> {
    const rows = await this.database.query(
      `select from vector_store_files where ${TO_DO} and not_before <= now() and ${IS_FREE} and key_id <> $1 limit 1`,
      [entry.key_id],
    );
    return rows.length > 0;
  }

  /** Somebody may take it again after the delay: nothing was wrong with it. @throws Superseded */
  async giveWay(entry: TakenEntry, delayMs: number): Promise<void> {
    await this.#update(entry, `not_before = now() + $4 * interval '1 millisecond', ${RELEASED}`, [delayMs]);
  }

  /** Somebody may take it again after the delay. What was superseded meanwhile is let go of as well, so that its remains can go at once. */
  async putOff(entry: TakenEntry, delayMs: number): Promise<void> {
    await this.database.query(
      `update vector_store_files set taken_by = null, taken_until = null, attempts = greatest(attempts - 1, 0), delays = delays + 1,
         not_before = case when status = $3 then now() + $4 * interval '1 millisecond' else now() end
       where id = $1 and taken_by = $2`,
      [entry.id, this.taker, entry.status, delayMs],
    );
  }

  /** Whether it is still there, and anything of it is to be kept. */
  async isWanted(id: string): Promise<boolean> {
    const rows = await this.database.query(
      "select from vector_store_files where id = $1 and status in ('in_progress', 'completed')",
      [id],
    );
    return rows.length > 0;
  }

  /** Nothing is left of it but, unless it was deleted, what is told of it. */
  async cleaned(entry: TakenEntry): Promise<void> {
    if (entry.status === 'deleted') {
      await this.database.query('delete from vector_store_batch_files where entry_id = $1', [entry.id]);
      await this.database.query("delete from vector_store_files where id = $1 and status = 'deleted'", [entry.id]);
    } else {
      await this.database.query(
        `update vector_store_files set has_remains = false, usage_bytes = 0, ${RELEASED} where id = $1 and taken_by = $2`,
        [entry.id, this.taker],
      );
    }
  }

  async #update({ id, status }: TakenEntry, set: string, values: readonly unknown[]): Promise<void> {
    const rows = await this.database.query(
      `update vector_store_files set ${set} where id = $1 and taken_by = $2 and status = $3 returning id`,
      [id, this.taker, status, ...values],
    );
    if (rows.length === 0) throw new Superseded();
  }
}

/** Of what was wrong with a file, as it is told to its owner. */
const MESSAGE_CHARACTERS_MAX = 1_000;

/** Messages quote files, which anybody may have made: a text that no database takes would keep its file from ever being done. */
function keepable(message: string): string {
  return message.slice(0, MESSAGE_CHARACTERS_MAX).replaceAll('\0', ' ').toWellFormed();
}

const RELEASED = 'taken_by = null, taken_until = null, attempts = 0';
