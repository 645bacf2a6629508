import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { RepeatedChore } from '../stores/repeated-chore.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import type { SegmentStore } from './segments.js';

const SWEEP_MS = 3_600_000;
/** A little less, so that one of the gateways finds it due. */
const SWEEP_MINUTES = 55;
/** Removed at a time, so that no statement holds the database for long. */
const ROWS_MAX = 500;
/** Batches of which what is left in the object store is looked for at a time. */
const LOOKS_MAX = 8;
const CHORE = 'batches';

/**
 * Forgets batches that have been over for `batchKeptDays`, with what a gateway that was killed may have left of them in the object store.
 * Their files stay, as long as their own expiries say.
 *
 * Concurrency: one gateway of all at a time, from its start and then every hour.
 */
export class BatchSweep {
  readonly #chore: RepeatedChore;

  constructor(
    private readonly database: SqlDatabase,
    private readonly segments: Pick<SegmentStore, 'discardAll'>,
    private readonly settings: Pick<Settings, 'batchKeptDays'>,
    private readonly logger: Logger,
  ) {
    const pace = { name: CHORE, everyMs: SWEEP_MS, minutes: SWEEP_MINUTES };
    this.#chore = new RepeatedChore(database, pace, (signal) => this.sweep(signal), {
      logger,
      failed: 'batches that were over long ago could not be forgotten: it is tried again every hour',
    });
  }

  start(): void {
    this.#chore.start();
  }

  close(): Promise<void> {
    return this.#chore.close();
  }

  /** Once. @throws DatabaseUnavailable, ObjectStoreUnavailable */
  async sweep(signal: AbortSignal): Promise<void> {
    let batches = 0;
    for (let page = ROWS_MAX; page === ROWS_MAX && !signal.aborted; batches += page)
      page = await this.#removePage(signal);
    if (batches > 0) this.logger.info({ batches }, 'batches that were over long ago are forgotten (batchKeptDays)');
  }

  /** @returns how many. */
  async #removePage(signal: AbortSignal): Promise<number> {
    // By the database's clock, as it wrote when they ended. One that goes on has no such time.
    const rows = await this.database.query<{ id: string }>(
      `select id from batches where status in ('completed', 'failed', 'expired', 'cancelled')
        and coalesce(completed_at, failed_at, expired_at, cancelled_at) < now() - $1::int * interval '1 day'
        limit $2`,
      [this.settings.batchKeptDays, ROWS_MAX],
    );
    const ids = rows.map(({ id }) => id);
    // Before the rows: only by them is known what to look for.
    for (let at = 0; at < ids.length; at += LOOKS_MAX)
      await Promise.all(ids.slice(at, at + LOOKS_MAX).map((id) => this.segments.discardAll(id, signal)));
    await this.database.query('delete from batches where id = any($1::text[])', [ids]);
    return ids.length;
  }
}
