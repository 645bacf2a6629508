import type { Logger } from '@millrace/runtime';
import { LISTED_KEYS_MAX, type ObjectInfo, type ObjectStore } from '@millrace/storage';
import { RepeatedChore } from '../stores/repeated-chore.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import { isTimedId } from '../stores/timed-ids.js';
import { removeUnder } from './remove-under.js';
import { SweepRemovals } from './sweep-removals.js';
import { partsPrefix } from './upload-rows.js';

const SWEEP_MS = 600_000;
/** A little less, so that one of the gateways finds it due. */
const SWEEP_MINUTES = 9;
/** Removed at a time. */
const ROWS_MAX = 500;
/** Content without a row is looked for among what is older: its row is written before it, but clocks differ. */
const STRAY_AGE_MS = 24 * 3_600_000;
/** Of a page, more than these are not removed where more of it has no row than has one: then the database is likely another's. */
const STRAYS_MAX = 10;
const CHORE = 'files';

/**
 * Removes what stayed half done and what has expired: for what a gateway that was killed left behind, nobody else would.
 *
 * Concurrency: one gateway of all at a time, from its start and then every ten minutes. What it removes others may be removing, too.
 */
export class FileSweep {
  readonly #chore: RepeatedChore;

  constructor(
    private readonly database: SqlDatabase,
    private readonly objects: ObjectStore,
    private readonly logger: Logger,
    { everyMs = SWEEP_MS, choreMinutes = SWEEP_MINUTES }: { everyMs?: number; choreMinutes?: number } = {},
  ) {
    const pace = { name: CHORE, everyMs, minutes: choreMinutes };
    this.#chore = new RepeatedChore(database, pace, (signal) => this.sweep(signal), {
      logger,
      failed:
        'not all files that had expired or were never finished could be removed: it is tried again every ten minutes',
    });
  }

  start(): void {
    this.#chore.start();
  }

  close(): Promise<void> {
    return this.#chore.close();
  }

  /**
   * Once. What can't be removed is passed over until the next time.
   *
   * @throws SweepIncomplete where there is such; whatever `signal` is aborted with.
   */
  async sweep(signal: AbortSignal): Promise<void> {
    const removals = new SweepRemovals(this.objects, signal);
    await removals.step(() => this.#removeFiles(removals));
    await removals.step(() => this.#removeUploads(removals, signal));
    await removals.step(() => this.#removeStrays('file-', removals, signal));
    await removals.step(() => this.#removeStrays('upload_', removals, signal));
    removals.end();
  }

  async #removeFiles(removals: SweepRemovals): Promise<void> {
    for (let after = ''; ; ) {
      // Hidden first, so that nobody opens one whose content is gone.
      const rows = await this.database.query<{ id: string }>(
        `update files set state = 'removing' where id in
          (select id from files where id > $2 and (state = 'removing' or expires_at < now()) order by id limit $1)
          returning id`,
        [ROWS_MAX, after],
      );
      const ids = rows.map(({ id }) => id).sort();
      if (ids.length === 0) return;
      after = ids.at(-1)!;
      const gone = await removals.remove(ids);
      if (gone.length === 0) continue;
      await this.database.query("delete from files where id = any($1) and state = 'removing'", [gone]);
      this.logger.info({ files: gone.length }, 'files that had expired or were never finished are removed');
    }
  }

  /** Completed ones among them, which are remembered until then for whoever asks again. */
  async #removeUploads(removals: SweepRemovals, signal: AbortSignal): Promise<void> {
    for (let after = ''; ; ) {
      const rows = await this.database.query<{ id: string }>(
        `select id from uploads where id > $2 and expires_at < now()
          and not (state = 'completing' and lease_expires_at > now()) order by id limit $1`,
        [ROWS_MAX, after],
      );
      if (rows.length === 0) return;
      after = rows.at(-1)!.id;
      for (const { id } of rows) {
        await removals.attempt(async () => {
          await removeUnder(this.objects, partsPrefix(id), signal);
          await this.database.query('delete from uploads where id = $1', [id]);
        });
      }
    }
  }

  /** There are none, but for what was being written while its row was swept, or where the database lost its last changes. */
  async #removeStrays(kind: 'file-' | 'upload_', removals: SweepRemovals, signal: AbortSignal): Promise<void> {
    for (let after: string | undefined; ; ) {
      const page = await this.objects.list(kind, { after, limit: LISTED_KEYS_MAX }, signal);
      const old = page.filter((one) => isOldOf(kind, one)).map(({ key }) => key);
      if (old.length > 0) await this.#removeStraysOf(kind, old, removals);
      if (page.length < LISTED_KEYS_MAX) return;
      after = page.at(-1)!.key;
    }
  }

  async #removeStraysOf(kind: 'file-' | 'upload_', keys: readonly string[], removals: SweepRemovals): Promise<void> {
    const table = kind === 'file-' ? 'files' : 'uploads';
    const rows = await this.database.query<{ id: string }>(`select id from ${table} where id = any($1)`, [
      [...new Set(keys.map(ownerOf))],
    ]);
    const known = new Set(rows.map(({ id }) => id));
    const strays = keys.filter((key) => !known.has(ownerOf(key)));
    if (strays.length === 0) return;
    const [unknown, found] = [strays.length, keys.length - strays.length];
    if (unknown > STRAYS_MAX && unknown > found) {
      this.logger.warn(
        { unknown, found },
        `the object store holds content of ${table} that the database does not know: it is left alone, since it may be the wrong database`,
      );
      return;
    }
    const { length: objects } = await removals.remove(strays);
    if (objects > 0) this.logger.info({ objects }, `content of ${table} that the database does not know is removed`);
  }
}

function isOldOf(kind: 'file-' | 'upload_', { key, modifiedMs }: ObjectInfo): boolean {
  return isTimedId(kind, ownerOf(key)) && modifiedMs < Date.now() - STRAY_AGE_MS;
}

/** The id that a key begins with. */
function ownerOf(key: string): string {
  return key.split('/', 1)[0]!;
}
