import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/runtime';
import { type AppliedMigration, type Migration, pendingMigrations } from './migration-files.js';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from './sql-database.js';

/** `server_version_num` of the oldest Postgres that will do. */
const SERVER_VERSION_MIN = 150_000;
/** Of one statement of a migration: an index on many records takes its time. */
const STATEMENT_TIMEOUT_MS = 600_000;
/** For a table that others are using. Whoever comes after us waits behind us, so this is short, and tried again. */
const TABLE_LOCK_TIMEOUT_MS = 3_000;
/** While another gateway migrates. */
const TURN_RETRY_MS = 100;
const TURN_WAIT_MS_MAX = 60_000;
const RETRY_DELAY_MS_MIN = 200;
const RETRY_DELAY_MS_MAX = 10_000;
/** Statements that may wait for the first attempt, and for how long. */
const WAITING_MAX = 1_000;
const FIRST_ATTEMPT_MS_MAX = 60_000;

/** Postgres's code for a table that isn't there. */
const UNDEFINED_TABLE = '42P01';
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * A database with all tables that this version needs: what is missing is applied first, each file in a transaction, under a
 * lock that all gateways share.
 *
 * Until that has worked, statements are `DatabaseUnavailable`; only the outcome of the first attempt is waited for.
 *
 * Ownership: it owns the database it was given, and closes it.
 * Concurrency: one attempt at a time, in the background, until one works or `close`. Any number of processes may do the same.
 */
export class MigratedDatabase implements SqlDatabase {
  readonly #database: SqlDatabase;
  readonly #migrations: readonly Migration[];
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #firstAttempt = Promise.withResolvers<void>();
  #migrating: Promise<void> | undefined;
  /** Why its tables aren't known to be there. */
  #obstacle: string | undefined = 'The tables of the database are being set up.';
  #isFirstOver = false;
  #waiting = 0;

  /** Returns at once; the work is done in the background. */
  constructor(database: SqlDatabase, migrations: readonly Migration[], logger: Logger) {
    this.#database = database;
    this.#migrations = migrations;
    this.#logger = logger;
    this.#begin();
  }

  get trouble(): string | undefined {
    return this.#obstacle ?? this.#database.trouble;
  }

  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    return this.#whenMigrated(() => this.#database.query<Row>(sql, values));
  }

  transaction<T>(work: (query: SqlQuery) => Promise<T>, statementTimeoutMs?: number): Promise<T> {
    return this.#whenMigrated(() => this.#database.transaction(work, statementTimeoutMs));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#obstacle ??= 'The database is closed: this process is ending.';
    await this.#database.close();
    await this.#migrating;
  }

  async #whenMigrated<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.#isFirstOver) await this.#waitForFirstAttempt();
    if (this.#obstacle !== undefined) throw new DatabaseUnavailable(this.#obstacle);
    try {
      return await ask();
    } catch (error) {
      // Another database came back in the place of ours, such as an empty one or one from a backup.
      if ((error as { code?: unknown }).code === UNDEFINED_TABLE) this.#begin();
      throw error;
    }
  }

  async #waitForFirstAttempt(): Promise<void> {
    if (this.#waiting >= WAITING_MAX) return;
    this.#waiting += 1;
    const waited = new AbortController();
    const late = sleep(FIRST_ATTEMPT_MS_MAX, undefined, { signal: waited.signal }).catch(() => undefined);
    await Promise.race([this.#firstAttempt.promise, late]);
    waited.abort();
    this.#waiting -= 1;
  }

  #begin(): void {
    if (this.#closing.signal.aborted) return;
    this.#migrating ??= this.#migrate().finally(() => {
      this.#migrating = undefined;
    });
  }

  async #migrate(): Promise<void> {
    const { signal } = this.#closing;
    for (let delayMs = RETRY_DELAY_MS_MIN; !signal.aborted; delayMs = Math.min(delayMs * 2, RETRY_DELAY_MS_MAX)) {
      const obstacle = await this.#attempt();
      if (!signal.aborted && obstacle !== this.#obstacle && obstacle !== undefined) this.#logger.warn(obstacle);
      this.#obstacle = obstacle;
      this.#isFirstOver = true;
      this.#firstAttempt.resolve();
      if (obstacle === undefined) return;
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns why it didn't work, as a sentence; undefined: everything is there. */
  async #attempt(): Promise<string | undefined> {
    try {
      await this.#checkVersion();
      const query: SqlQuery = this.#database.query.bind(this.#database);
      for (const migration of await pendingIn(query, this.#migrations)) {
        if (await this.#isToBeHad(migration)) await this.#apply(migration);
      }
      return undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return error instanceof DatabaseUnavailable ? why : `The tables of the database can not be set up: ${why}`;
    }
  }

  async #checkVersion(): Promise<void> {
    const [row] = await this.#database.query<{ number: number; text: string }>(
      "select current_setting('server_version_num')::int as number, current_setting('server_version') as text",
    );
    if (row !== undefined && row.number >= SERVER_VERSION_MIN) return;
    throw new Error(
      `it is Postgres ${row?.text}, and 15 or newer is needed. Upgrade it, or name another with postgresUrl.`,
    );
  }

  async #isToBeHad({ extension }: Migration): Promise<boolean> {
    if (extension === undefined) return true;
    const found = await this.#database.query('select from pg_available_extensions where name = $1', [extension]);
    return found.length > 0;
  }

  async #apply(migration: Migration): Promise<void> {
    const giveUpMs = performance.now() + TURN_WAIT_MS_MAX;
    while (!(await this.#applyInTurn(migration))) {
      if (performance.now() > giveUpMs) {
        throw new Error(
          `another gateway has been at it for more than ${TURN_WAIT_MS_MAX / 1_000} s. It is tried again.`,
        );
      }
      await sleep(TURN_RETRY_MS, undefined, { signal: this.#closing.signal });
    }
  }

  /** @returns false while another gateway is at it. @throws Error that names the file. */
  async #applyInTurn(migration: Migration): Promise<boolean> {
    try {
      return await this.#database.transaction((query) => this.#applyWith(query, migration), STATEMENT_TIMEOUT_MS);
    } catch (error) {
      if (error instanceof DatabaseUnavailable) throw error;
      // Nothing depends on an extension without asking for it first.
      if (migration.extension !== undefined && (error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE) {
        this.#logger.info(`${migration.name} is passed over: ${migration.extension} may not be created by this user`);
        return true;
      }
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${migration.name} was refused: ${why}`, { cause: error });
    }
  }

  async #applyWith(query: SqlQuery, migration: Migration): Promise<boolean> {
    // Tried rather than waited for: a lock that is waited for holds a connection, and has no deadline of ours.
    const [turn] = await query<{ mine: boolean }>(
      "select pg_try_advisory_xact_lock(hashtext('millrace migrations'), hashtext(coalesce(current_schema(), ''))) as mine",
    );
    if (turn?.mine !== true) return false;
    await query(CREATE_TABLE);
    const isPending = (await pendingIn(query, this.#migrations)).some(({ number }) => number === migration.number);
    if (!isPending) return true;
    await query(`set local lock_timeout = ${TABLE_LOCK_TIMEOUT_MS}`);
    await query(migration.sql);
    await query('insert into schema_migrations (number, name, sha256) values ($1, $2, $3)', [
      migration.number,
      migration.name,
      migration.sha256,
    ]);
    this.#logger.info(`the database has ${migration.name} now`);
    return true;
  }
}

/** Those that a database doesn't have. @throws Error as `pendingMigrations`. */
export async function pendingIn(query: SqlQuery, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  const [found] = await query<{ there: boolean }>("select to_regclass('schema_migrations') is not null as there");
  const applied = found?.there
    ? await query<AppliedMigration>('select number, name, sha256 from schema_migrations order by number')
    : [];
  return pendingMigrations(migrations, applied);
}

const CREATE_TABLE = `
  create table if not exists schema_migrations (
    number integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default clock_timestamp()
  )`;
