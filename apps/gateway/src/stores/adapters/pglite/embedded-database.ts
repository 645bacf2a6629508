import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../../sql-database.js';
import { PostgresDatabase } from '../postgres-database.js';
import { type ChildEnding, PgliteChild } from './pglite-child.js';

export interface EmbeddedOptions {
  /** The setting of that name; the database lies in its folder `postgres`. */
  readonly dataFolder: string;
  /** Of one statement. */
  readonly timeoutMs: number;
  /** How long another process may take to let go of the folder before that counts as in use. */
  readonly lockWaitMs?: number | undefined;
}

/** A start takes one to two seconds; on a machine that is busy or has a slow disk, many times as long. */
const START_ALLOWANCE_MS = 30_000;
const LOCK_WAIT_MS = 10_000;
const MEMORY_MIB_MAX = 512;
const END_GRACE_MS = 5_000;
const RESTART_DELAY_MS_MIN = 100;
const RESTART_DELAY_MS_MAX = 30_000;
/** A process that lived for so long starts again from the shortest delay. */
const HEALTHY_AFTER_MS = 60_000;
/** Statements that may wait for a start. */
const WAITING_MAX = 1_000;
/** Postgres's own way to call its sockets. */
const SOCKET_PORT = 5432;
/** Of the path of a socket, on Linux; elsewhere a little less. */
const SOCKET_PATH_BYTES_MAX = 100;

/** Node doesn't run our sources as they stand: tests of the sources start the process as it was built. */
const ENTRY = new URL(import.meta.url.replace('/src/', '/dist/').replace(/[^/]+$/, 'pglite-main.js'));

/**
 * The embedded database: PGlite in a process of its own, since it computes in the thread that asks it.
 *
 * Ownership: the process, its folder's lock (which the process holds) and the socket between us. Nobody else starts or ends it.
 * Concurrency: at most one process at a time. All statements share its one session, so they go through one connection, one
 * transaction after the other.
 */
export class EmbeddedDatabase implements SqlDatabase {
  readonly #options: EmbeddedOptions;
  readonly #logger: Logger;
  readonly #socketFolder: string;
  readonly #postgres: PostgresDatabase;
  #child: PgliteChild | undefined;
  #ready = watched();
  readonly #opened = watched();
  #waiting = 0;
  /** Why there is none just now. */
  #absence: string | undefined = 'The embedded database is starting.';
  #restartTimer: NodeJS.Timeout | undefined;
  #delayMs = RESTART_DELAY_MS_MIN;
  #isSuspected = false;
  /** Of the transaction that is under way, if it may take longer than others. */
  #patienceMs = 0;
  #isClosed = false;

  /** Returns at once; the process starts in the background. */
  constructor(options: EmbeddedOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.#socketFolder = makeSocketFolder();
    this.#postgres = new PostgresDatabase(
      {
        socketFolder: this.#socketFolder,
        socketPort: SOCKET_PORT,
        user: 'postgres',
        database: 'postgres',
        name: 'The embedded database',
        connectionsMax: 1,
        timeoutMs: options.timeoutMs,
      },
      logger,
    );
    this.#start();
  }

  get trouble(): string | undefined {
    return this.#absence ?? this.#postgres.trouble;
  }

  /** Of the process, for those who measure it. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * Resolves when it serves for the first time.
   *
   * @throws ConfigurationError when the first start found what a person has to mend: the folder is in use by another gateway,
   * or damaged. It goes on trying all the same.
   */
  opened(): Promise<void> {
    return this.#opened.promise;
  }

  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    return this.#asked(() => this.#postgres.query<Row>(sql, values));
  }

  transaction<T>(work: (query: SqlQuery) => Promise<T>, statementTimeoutMs?: number): Promise<T> {
    return this.#asked(async () => {
      const patient: typeof work = (query) => {
        this.#patienceMs = statementTimeoutMs ?? 0;
        return work(query);
      };
      try {
        return await this.#postgres.transaction(patient, statementTimeoutMs);
      } finally {
        if (statementTimeoutMs !== undefined) this.#patienceMs = 0;
      }
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#absence = 'The embedded database is closed: this process is ending.';
    clearTimeout(this.#restartTimer);
    this.#ready.reject(new DatabaseUnavailable(this.#absence));
    this.#opened.reject(new DatabaseUnavailable(this.#absence));
    await this.#postgres.close();
    await this.#child?.end(END_GRACE_MS);
    rmSync(this.#socketFolder, { recursive: true, force: true });
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    await this.#started();
    try {
      return await ask();
    } catch (error) {
      if (error instanceof DatabaseUnavailable) void this.#suspect();
      throw error;
    }
  }

  async #started(): Promise<void> {
    if (this.#absence === undefined) return;
    if (this.#waiting >= WAITING_MAX || this.#isClosed) throw new DatabaseUnavailable(this.#absence);
    this.#waiting += 1;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const give = () =>
        reject(new DatabaseUnavailable(this.#absence ?? 'The embedded database did not start in time.'));
      timer = setTimeout(give, this.#options.timeoutMs + START_ALLOWANCE_MS);
    });
    try {
      await Promise.race([this.#ready.promise, late]);
    } finally {
      clearTimeout(timer);
      this.#waiting -= 1;
    }
  }

  #start(): void {
    const startedMs = performance.now();
    const child = new PgliteChild(ENTRY, {
      folder: join(this.#options.dataFolder, 'postgres'),
      socketPath: join(this.#socketFolder, `.s.PGSQL.${SOCKET_PORT}`),
      lockWaitMs: this.#options.lockWaitMs ?? LOCK_WAIT_MS,
      memoryMibMax: MEMORY_MIB_MAX,
    });
    this.#child = child;
    void child.ready.then(() => {
      if (this.#isClosed) return;
      this.#absence = undefined;
      this.#ready.resolve();
      this.#opened.resolve();
    });
    void child.ended.then((ending) => this.#ended(ending, performance.now() - startedMs));
  }

  #ended({ sentence, how, lastWords }: ChildEnding, livedMs: number): void {
    this.#child = undefined;
    if (this.#isClosed) return;
    const served = this.#absence === undefined;
    if (livedMs >= HEALTHY_AFTER_MS) this.#delayMs = RESTART_DELAY_MS_MIN;
    this.#absence = sentence ?? `The embedded database ended ${how}.`;
    this.#logger.error(
      { lastWords: lastWords === '' ? undefined : lastWords },
      `${this.#absence} It is started again in ${this.#delayMs} ms.`,
    );
    // What it said itself is no matter of a moment, so those who wait are told now. A crash may be, so they go on waiting.
    if (sentence !== undefined) {
      this.#ready.reject(new DatabaseUnavailable(sentence));
      this.#opened.reject(new ConfigurationError([sentence]));
    }
    if (served || sentence !== undefined) this.#ready = watched();
    this.#restartTimer = setTimeout(() => this.#start(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_DELAY_MS_MAX);
  }

  /** It knows no time limit of its own: a statement that goes on for ever is ended with its process. */
  async #suspect(): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.#isSuspected) return;
    this.#isSuspected = true;
    const isAlive = await child.answersWithin(Math.max(this.#options.timeoutMs, this.#patienceMs));
    this.#isSuspected = false;
    if (isAlive || child !== this.#child) return;
    this.#logger.error('the embedded database does not come back from a statement, and is ended');
    child.kill();
  }
}

/** A promise whose failure is no matter where nobody waits for it. */
function watched(): PromiseWithResolvers<void> {
  const made = Promise.withResolvers<void>();
  made.promise.catch(() => undefined);
  return made;
}

/** Of our own only, and short: paths of sockets are. The data folder's may be as long as it likes. */
function makeSocketFolder(): string {
  const folder = join(tmpdir(), 'millrace-');
  return mkdtempSync(
    folder.length + '012345/.s.PGSQL.5432'.length <= SOCKET_PATH_BYTES_MAX ? folder : '/tmp/millrace-',
  );
}
