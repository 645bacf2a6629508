import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { RepeatedChore } from '../stores/repeated-chore.js';
import type { SqlDatabase } from '../stores/sql-database.js';

const SWEEP_MS = 3_600_000;
/** A little less, so that one of the gateways finds it due. */
const SWEEP_MINUTES = 55;
/** Removed at a time, so that no statement holds the database for long. */
const ROWS_MAX = 500;
const CHORE = 'stored_chats';

/**
 * Forgets chat completions that were kept for `storedChatDays`.
 *
 * Concurrency: one gateway of all at a time, from its start and then every hour.
 */
export class StoredChatsSweep {
  readonly #chore: RepeatedChore;

  constructor(
    private readonly database: SqlDatabase,
    private readonly settings: Pick<Settings, 'storedChatDays'>,
    private readonly logger: Logger,
  ) {
    const pace = { name: CHORE, everyMs: SWEEP_MS, minutes: SWEEP_MINUTES };
    this.#chore = new RepeatedChore(database, pace, (signal) => this.sweep(signal), {
      logger,
      failed: 'chat completions that were kept long enough could not be forgotten: it is tried again every hour',
    });
  }

  start(): void {
    this.#chore.start();
  }

  close(): Promise<void> {
    return this.#chore.close();
  }

  /** Once. @throws DatabaseUnavailable */
  async sweep(signal: AbortSignal): Promise<void> {
    let chats = 0;
    for (let page = ROWS_MAX; page === ROWS_MAX && !signal.aborted; chats += page) {
      const gone = await this.database.query(
        `delete from chat_completions where id in
          (select id from chat_completions where created_at < now() - $1::int * interval '1 day' limit $2) returning id`,
        [this.settings.storedChatDays, ROWS_MAX],
      );
      page = gone.length;
    }
    if (chats > 0) this.logger.info({ chats }, 'chat completions were kept long enough (storedChatDays)');
  }
}
