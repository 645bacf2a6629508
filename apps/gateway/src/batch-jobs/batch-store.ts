import type { BatchEndpoint } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { type BatchEnding, type BatchRow, isOver } from './batch-row.js';
import type { BatchError, CheckedInput, Slice } from './check-input.js';
import type { LineOutcome } from './line-outcome.js';
import { storable } from './storable.js';

export interface NewBatch {
  readonly keyId: string | null;
  readonly endpoint: BatchEndpoint;
  readonly inputFileId: string;
  readonly completionWindow: string;
  readonly windowSeconds: number;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly outputExpiresAfter: number | null;
}

/** What can be done for a batch now, each a job of its own. */
export interface OpenWork {
  readonly batchId: string;
  /** Grows with each batch that is made. */
  readonly number: number;
  readonly status: BatchRow['status'];
  /** Those to run next, in their order. */
  readonly slices: readonly number[];
}

export interface OpenWorkPage {
  readonly after: number;
  readonly batchesMax: number;
}

/** Where the answers of a slice lie; null: it has none. */
export interface Segments {
  readonly outputKey: string | null;
  readonly errorKey: string | null;
}

/** Jobs of one batch that are in the queue at a time: several gateways share it, and others have their turn in between. */
const SLICES_AHEAD = 4;
/** Rows of one answer of the database; answers may be large. */
const PAGE_LINES = 20;
/** What can be no id is none that there is; the database need not be asked, and would refuse some of it. */
const ID = /^batch_[0-9a-f]{32}$/;
const LIVE = "status in ('validating', 'in_progress', 'finalizing', 'cancelling')";

/**
 * What is known of batches: the one truth, of which the jobs in the queue are only reminders. Whatever ends in between, gateway, worker
 * or queue, goes on from what stands here.
 *
 * Concurrency: any number of gateways. A line's outcome is kept once, by whoever comes first, and only while its slice is open; a slice
 * is closed once, with all that was kept.
 */
export class BatchStore {
  constructor(private readonly database: SqlDatabase) {}

  /** @returns undefined: the key has as many that are not over as it may. */
  async create(batch: NewBatch, batchesMax: number): Promise<BatchRow | undefined> {
    const [row] = await this.database.query<BatchRow>(
      `insert into batches (id, key_id, endpoint, input_file_id, completion_window, metadata, output_expires_after, expires_at)
        select $1, $2, $3, $4, $5, $6::jsonb, $7::int, clock_timestamp() + $8::bigint * interval '1 second'
        where (select count(*) from batches where key_id is not distinct from $2 and ${LIVE}) < $9::int
        returning *`,
      [
        `batch_${randomHex(16)}`,
        batch.keyId,
        batch.endpoint,
        batch.inputFileId,
        batch.completionWindow,
        batch.metadata && JSON.stringify(batch.metadata),
        batch.outputExpiresAfter,
        batch.windowSeconds,
        batchesMax,
      ],
    );
    return row;
  }

  /** @param keyId whose it must be; undefined: anybody's. */
  async find(id: string, keyId?: string | null): Promise<BatchRow | undefined> {
    if (!ID.test(id)) return undefined;
    const [row] = await this.database.query<BatchRow>('select * from batches where id = $1', [id]);
    return keyId === undefined || row?.key_id === keyId ? row : undefined;
  }

  /** Newest first. Undefined: there is no such batch to go on behind. */
  async list(keyId: string | null, after: string | undefined, limit: number): Promise<readonly BatchRow[] | undefined> {
    if (after !== undefined && (await this.find(after, keyId)) === undefined) return undefined;
    return this.database.query<BatchRow>(
      `select * from batches where key_id is not distinct from $1
        and ($2::text is null or number < (select number from batches where id = $2)) order by number desc limit $3`,
      [keyId, after ?? null, limit],
    );
  }

  /** What was found in its input. A batch that is no longer being checked stays as it is. */
  async checked(id: string, input: CheckedInput): Promise<void> {
    if (input.kind === 'invalid') return this.fail(id, input.errors);
    const { slices, lines, model } = input;
    await this.database.transaction(async (query) => {
      const begun = await query(
        `update batches set status = 'in_progress', in_progress_at = clock_timestamp(), total = $2, model = $3
          where id = $1 and status = 'validating' returning id`,
        [id, lines, model],
      );
      if (begun.length > 0) await insertSlices(query, id, slices);
    });
  }

  /** The batch ends here: nothing of it can be run. */
  async fail(id: string, errors: readonly BatchError[]): Promise<void> {
    await this.database.query(
      `update batches set status = 'failed', failed_at = clock_timestamp(), errors = $2::jsonb
        where id = $1 and status = 'validating'`,
      [id, jsonOf(errors)],
    );
  }

  /** It is to end now, with what is done: nothing more is begun. @returns as it stands then; undefined: there is none. */
  async end(
    id: string,
    ending: Exclude<BatchEnding, 'completed'>,
    errors?: readonly BatchError[],
  ): Promise<BatchRow | undefined> {
    return this.database.transaction(async (query) => {
      // Slices before their batch, as whoever keeps a line of one locks them: neither waits for the other then.
      await query('select from batch_slices where batch_id = $1 and closed_at is null order by slice for update', [id]);
      const [row] = await query<BatchRow>(
        `update batches set ending = $2, errors = coalesce($3::jsonb, errors),
            status = case when $2 = 'cancelled' then 'cancelling' else 'finalizing' end,
            cancelling_at = case when $2 = 'cancelled' then clock_timestamp() end,
            finalizing_at = case when $2 <> 'cancelled' then clock_timestamp() end
          where id = $1 and ending is null and status in ('validating', 'in_progress') returning *`,
        [id, ending, errors === undefined ? null : jsonOf(errors)],
      );
      if (row === undefined) return (await query<BatchRow>('select * from batches where id = $1', [id]))[0];
      // Of those that nobody has begun nothing is to be told; of those that expire, that they were not run.
      if (ending !== 'expired')
        await query(
          `update batch_slices set closed_at = clock_timestamp() where batch_id = $1 and closed_at is null
            and not exists (select from batch_lines where batch_id = $1 and slice = batch_slices.slice)`,
          [id],
        );
      return row;
    });
  }

  /** Batches whose window is over. */
  async expire(): Promise<void> {
    await this.database.query(
      `update batches set ending = 'expired', status = 'finalizing', finalizing_at = clock_timestamp()
        where status in ('validating', 'in_progress') and ending is null and expires_at <= clock_timestamp()`,
    );
  }

  /**
   * What is to be done next; a batch of which all lines are there goes on to its end.
   *
   * @param which one batch, or those that were made after the one of this number: so many of them, the oldest first.
   */
  async openWork(which: { readonly id: string } | OpenWorkPage): Promise<readonly OpenWork[]> {
    const { id = null, after = 0, batchesMax = 1 } = which as { id?: string } & Partial<OpenWorkPage>;
    await this.database.query(
      `update batches set status = 'finalizing', finalizing_at = clock_timestamp()
        where status = 'in_progress' and ($1::text is null or id = $1)
          and not exists (select from batch_slices where batch_id = batches.id and closed_at is null)`,
      [id],
    );
    return this.database.query<OpenWork>(
      `select id as "batchId", number, status, coalesce((
          select array_agg(slice order by slice) from (
            select slice from batch_slices where batch_id = batches.id and closed_at is null order by slice limit ${SLICES_AHEAD}
          ) as next), '{}') as slices
        from batches where ${LIVE} and ($1::text is null or id = $1) and number > $2 order by number limit $3`,
      [id, after, batchesMax],
    );
  }

  /** Undefined: it is closed, or never was. */
  async openSlice(id: string, slice: number): Promise<Slice | undefined> {
    const [row] = await this.database.query<Slice>(
      `select slice, first_line as "firstLine", byte_from as "byteFrom", bytes, duplicates
        from batch_slices where batch_id = $1 and slice = $2 and closed_at is null`,
      [id, slice],
    );
    return row;
  }

  /** Lines of a slice that are there already. */
  async linesDone(id: string, slice: number): Promise<ReadonlySet<number>> {
    const rows = await this.database.query<{ line: number }>(
      'select line from batch_lines where batch_id = $1 and slice = $2',
      [id, slice],
    );
    return new Set(rows.map(({ line }) => line));
  }

  /** Keeps what came of lines, unless it is known already or the slice is closed. @returns how many were new, of either kind. */
  async record(
    id: string,
    slice: number,
    outcomes: readonly LineOutcome[],
  ): Promise<{ answered: number; failed: number }> {
    const usage = (of: (one: LineOutcome) => number) => outcomes.map(of);
    const [row] = await this.database.query<{ answered: number; failed: number }>(RECORD, [
      id,
      slice,
      outcomes.map(({ line }) => line),
      outcomes.map(({ answered }) => answered),
      outcomes.map(({ text }) => text),
      usage(({ usage: { inputTokens } }) => inputTokens),
      usage(({ usage: { cachedTokens } }) => cachedTokens),
      usage(({ usage: { outputTokens } }) => outputTokens),
      usage(({ usage: { reasoningTokens } }) => reasoningTokens),
    ]);
    return row ?? { answered: 0, failed: 0 };
  }

  /** What is kept of a slice, in the order of its lines. */
  async *lines(id: string, slice: number, answered: boolean): AsyncGenerator<string> {
    let after = 0;
    for (;;) {
      const rows = await this.database.query<{ line: number; text: string }>(
        `select line, text from batch_lines where batch_id = $1 and slice = $2 and answered = $3 and line > $4
          order by line limit ${PAGE_LINES}`,
        [id, slice, answered, after],
      );
      for (const { text } of rows) yield text;
      if (rows.length < PAGE_LINES) return;
      after = rows.at(-1)!.line;
    }
  }

  /**
   * Closes a slice with its segments, which hold so many lines, and forgets the lines themselves.
   *
   * @returns false: it is closed already, or another has kept a line meanwhile that the segments don't have.
   */
  async closeSlice(id: string, slice: number, lines: number, { outputKey, errorKey }: Segments): Promise<boolean> {
    return this.database.transaction(async (query) => {
      const open = await query(
        'select from batch_slices where batch_id = $1 and slice = $2 and closed_at is null for update',
        [id, slice],
      );
      if (open.length === 0) return false;
      const [kept] = await query<{ lines: number }>(
        'select count(*) as lines from batch_lines where batch_id = $1 and slice = $2',
        [id, slice],
      );
      if (kept!.lines !== lines) return false;
      await query(
        `update batch_slices set closed_at = clock_timestamp(), output_key = $3, error_key = $4 where batch_id = $1 and slice = $2`,
        [id, slice, outputKey, errorKey],
      );
      await query('delete from batch_lines where batch_id = $1 and slice = $2', [id, slice]);
      return true;
    });
  }

  /** Where the segments of a batch lie, in the order of its lines. */
  async segments(id: string): Promise<readonly Segments[]> {
    return this.database.query<Segments>(
      'select output_key as "outputKey", error_key as "errorKey" from batch_slices where batch_id = $1 order by slice',
      [id],
    );
  }

  /** By the transaction that makes the file visible. @throws Error where the batch has one already: another was first. */
  async keepFile(query: SqlQuery, id: string, kind: 'output' | 'error', fileId: string): Promise<void> {
    const column = `${kind}_file_id`;
    const kept = await query(
      `update batches set ${column} = $2 where id = $1 and ${column} is null and status in ('finalizing', 'cancelling') returning id`,
      [id, fileId],
    );
    if (kept.length === 0) throw new Error(`The ${kind} file of the batch was made already.`);
  }

  /** It is over: its files are there. */
  async finish(id: string): Promise<void> {
    await this.database.transaction(async (query) => {
      const over = await query(
        `update batches set status = coalesce(ending, 'completed'),
            completed_at = case when ending is null then clock_timestamp() end,
            failed_at = case when ending = 'failed' then clock_timestamp() end,
            expired_at = case when ending = 'expired' then clock_timestamp() end,
            cancelled_at = case when ending = 'cancelled' then clock_timestamp() end
          where id = $1 and status in ('finalizing', 'cancelling')
            and not exists (select from batch_slices where batch_id = $1 and closed_at is null) returning id`,
        [id],
      );
      if (over.length > 0) await query('delete from batch_slices where batch_id = $1', [id]);
    });
  }

  /** It is over, without what was answered: that is lost. What file of it is there stays. */
  async abandon(id: string, errors: readonly BatchError[]): Promise<void> {
    await this.database.transaction(async (query) => {
      const over = await query(
        `update batches set status = 'failed', ending = 'failed', failed_at = clock_timestamp(), errors = $2::jsonb
          where id = $1 and status in ('finalizing', 'cancelling') returning id`,
        [id, jsonOf(errors)],
      );
      if (over.length > 0) await query('delete from batch_slices where batch_id = $1', [id]);
    });
  }

  /** Whether nothing of it is to be done any more. */
  async isOver(id: string): Promise<boolean> {
    const row = await this.find(id);
    return row === undefined || isOver(row);
  }
}

function jsonOf(errors: readonly BatchError[]): string {
  return JSON.stringify(
    errors.map(({ code, message, line, param }) => ({
      code: storable(code),
      message: storable(message),
      line,
      param: param && storable(param),
    })),
  );
}

async function insertSlices(query: SqlQuery, id: string, slices: readonly Slice[]): Promise<void> {
  await query(
    `insert into batch_slices (batch_id, slice, first_line, byte_from, bytes, duplicates)
      select $1, slice, first_line, byte_from, bytes, array(select jsonb_array_elements_text(duplicates)::int)
        from jsonb_to_recordset($2::jsonb) as one(slice int, first_line int, byte_from bigint, bytes bigint, duplicates jsonb)`,
    [
      id,
      JSON.stringify(
        slices.map(({ slice, firstLine, byteFrom, bytes, duplicates }) => ({
          slice,
          first_line: firstLine,
          byte_from: byteFrom,
          bytes,
          duplicates,
        })),
      ),
    ],
  );
}

/**
 * The slice is locked against being closed meanwhile, and looked at again once whoever was closing it is done; so nothing is added to
 * a slice that is closed. Counts go up by what is new alone.
 */
const RECORD = `
  with open as (
    select 1 from batch_slices where batch_id = $1 and slice = $2 and closed_at is null for share
  ), given as (
    select * from unnest($3::int[], $4::boolean[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
      as one(line, answered, text, input_tokens, cached_tokens, output_tokens, reasoning_tokens)
  ), added as (
    insert into batch_lines (batch_id, line, slice, answered, text)
      select $1, line, $2, answered, text from given, open on conflict do nothing returning line
  ), counted as (
    select count(*) filter (where answered) as answered, count(*) filter (where not answered) as failed,
        coalesce(sum(input_tokens), 0) as input, coalesce(sum(cached_tokens), 0) as cached,
        coalesce(sum(output_tokens), 0) as output, coalesce(sum(reasoning_tokens), 0) as reasoning
      from given join added using (line)
  )
  update batches set completed = completed + counted.answered, failed = batches.failed + counted.failed,
      input_tokens = input_tokens + counted.input, cached_tokens = cached_tokens + counted.cached,
      output_tokens = output_tokens + counted.output, reasoning_tokens = reasoning_tokens + counted.reasoning
    from counted where id = $1
    returning counted.answered as answered, counted.failed as failed`;
