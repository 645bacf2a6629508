import type { ConnectionOptions } from 'node:tls';
import { ConfigurationError, clientTls, type Logger, tlsFailure, type WatchedTls } from '@millrace/runtime';
import pg from 'pg';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../sql-database.js';

/** Where a Postgres is: a URL, or the folder of its socket, which is trusted. */
export type PostgresAddress =
  | {
      readonly url: string;
      /** By what it is known, and what it is shown; then `sslmode` in the URL says no more. Absent: as the URL has it. */
      readonly tls?: WatchedTls | undefined;
    }
  | {
      readonly socketFolder: string;
      readonly socketPort: number;
      readonly user: string;
      readonly database: string;
      /** In sentences. */
      readonly name: string;
    };

export type PostgresOptions = PostgresAddress & {
  readonly connectionsMax: number;
  /** Of one statement, and of opening a connection or waiting for one. */
  readonly timeoutMs: number;
};

/** Statements that may wait for a connection; the next one is refused at once. */
const WAITING_STATEMENTS_MAX = 1_000;
/** The server ends a statement itself; when it doesn't even say so after this time, it is given up here. */
const SERVER_GRACE_MS = 500;
/** A connection that nobody used for so long is closed. */
const IDLE_CONNECTION_MS = 60_000;
/** A transaction that asks nothing for so long is ended by the server: its gateway is frozen, or gone without a word. */
const IDLE_TRANSACTION_MS = 60_000;

/**
 * A Postgres server, through a bounded pool of connections.
 *
 * Ownership: the pool and its connections are this class's alone; nobody is given one but for the time of a transaction.
 * Concurrency: each statement or transaction has a connection to itself. A connection that failed is thrown away, never mended:
 * after a time-out its server may still be at work on the old statement.
 */
export class PostgresDatabase implements SqlDatabase {
  readonly #options: PostgresOptions;
  readonly #name: string;
  readonly #pool: pg.Pool;
  readonly #inUse = new Set<pg.PoolClient>();
  /** What tells those who wait for a connection that there will be none. */
  readonly #waiting = new Set<() => void>();
  #trouble: string | undefined;
  #isClosed = false;

  /** Opens nothing yet. @throws ConfigurationError when the URL is none. */
  constructor(options: PostgresOptions, logger: Logger) {
    this.#options = options;
    this.#name = nameOf(options);
    this.#pool = new pg.Pool({
      ...connectionOf(options),
      application_name: 'millrace-gateway',
      max: options.connectionsMax,
      connectionTimeoutMillis: options.timeoutMs,
      // One over a socket costs nobody anything, and outlives a temporary folder that is swept away under it.
      idleTimeoutMillis: 'url' in options ? IDLE_CONNECTION_MS : 0,
      statement_timeout: options.timeoutMs,
      query_timeout: options.timeoutMs + SERVER_GRACE_MS,
      idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
      keepAlive: true,
      types: { getTypeParser },
    });
    // An idle connection that breaks is told here, and would end the process if nobody listened. The pool has removed it already.
    this.#pool.on('error', (error) => {
      logger.debug({ error: error.message }, 'an idle connection to the database has ended');
    });
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    return this.#withConnection((client) => this.#ask<Row>(client, sql, values));
  }

  transaction<T>(work: (query: SqlQuery) => Promise<T>, statementTimeoutMs?: number): Promise<T> {
    return this.#withConnection((client) => this.#inTransaction(client, work, statementTimeoutMs));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const ended = this.#pool.end();
    // `end` alone would leave who waits for a connection to the time-out, and wait for statements that are under way.
    for (const tell of this.#waiting) tell();
    for (const client of this.#inUse) void (client as unknown as pg.Client).end().catch(() => undefined);
    await ended;
  }

  async #inTransaction<T>(
    client: pg.PoolClient,
    work: (query: SqlQuery) => Promise<T>,
    statementTimeoutMs: number | undefined,
  ): Promise<T> {
    let isOver = false;
    const query: SqlQuery = async (sql, values) => {
      // Its connection may serve somebody else by now.
      if (isOver) throw new Error('A statement came after the end of its transaction. Await every statement.');
      return this.#ask(client, sql, values, statementTimeoutMs);
    };
    await this.#ask(client, statementTimeoutMs === undefined ? 'begin' : beginWith(statementTimeoutMs));
    try {
      const result = await work(query);
      isOver = true;
      await this.#commit(client);
      return result;
    } catch (error) {
      isOver = true;
      // A connection that failed is thrown away, and its server rolls back by itself.
      if (!(error instanceof DatabaseUnavailable)) await this.#ask(client, 'rollback');
      throw error;
    }
  }

  /** A transaction in which a statement failed, and `work` went on, is rolled back by `commit` without an error. */
  async #commit(client: pg.PoolClient): Promise<void> {
    const { command } = await this.#send(client, 'commit');
    if (command === 'COMMIT') return;
    throw new Error('The transaction was rolled back, since one of its statements had failed. Let its error through.');
  }

  async #withConnection<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken: Error | undefined;
    // A connection that breaks between two statements tells it by an event, which would end the process if nobody listened.
    const onError = (error: Error) => {
      broken ??= error;
    };
    client.on('error', onError);
    this.#inUse.add(client);
    try {
      return await work(client);
    } catch (error) {
      if (error instanceof DatabaseUnavailable) broken ??= error;
      throw error;
    } finally {
      this.#inUse.delete(client);
      client.off('error', onError);
      client.release(broken);
    }
  }

  async #ask<Row>(
    client: pg.PoolClient,
    sql: string,
    values?: readonly unknown[],
    statementTimeoutMs?: number,
  ): Promise<readonly Row[]> {
    return (await this.#send(client, sql, values, statementTimeoutMs)).rows as Row[];
  }

  async #send(
    client: pg.PoolClient,
    text: string,
    values?: readonly unknown[],
    statementTimeoutMs = this.#options.timeoutMs,
  ): Promise<pg.QueryResult> {
    try {
      const result: pg.QueryResult | pg.QueryResult[] = await client.query({
        text,
        ...(values !== undefined && { values: [...values] }),
        query_timeout: statementTimeoutMs + SERVER_GRACE_MS,
      } as pg.QueryConfig);
      this.#trouble = undefined;
      // Several statements have several results; the last one counts, as in psql.
      return Array.isArray(result) ? result.at(-1)! : result;
    } catch (error) {
      const why = whyAway(error, statementTimeoutMs);
      if (why !== undefined) throw this.#unavailable(why, error);
      // To refuse something it has to be there.
      if (error instanceof pg.DatabaseError) this.#trouble = undefined;
      throw error;
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    if (this.#isClosed) throw this.#closed();
    if (this.#waiting.size >= WAITING_STATEMENTS_MAX) {
      throw this.#unavailable(`${this.#waiting.size} statements are waiting for it already, and no more may wait`);
    }
    const closed = Promise.withResolvers<never>();
    const tell = () => closed.reject(this.#closed());
    this.#waiting.add(tell);
    const connecting = this.#pool.connect();
    try {
      return await Promise.race([connecting, closed.promise]);
    } catch (error) {
      connecting.then((late) => late.release(true)).catch(() => undefined);
      if (error instanceof DatabaseUnavailable) throw error;
      // Whatever it is, a wrong password among them: nothing can be asked.
      throw this.#unavailable(
        whyNotSecured(error) ?? whyAway(error, this.#options.timeoutMs) ?? sentencePart(error),
        error,
      );
    } finally {
      this.#waiting.delete(tell);
    }
  }

  #closed(): DatabaseUnavailable {
    return new DatabaseUnavailable(`${this.#name} is closed: this process is ending.`);
  }

  #unavailable(why: string, cause?: unknown): DatabaseUnavailable {
    const sentence = `${this.#name} can not be asked: ${why}.`;
    if (!this.#isClosed) this.#trouble = sentence;
    return new DatabaseUnavailable(sentence, { cause });
  }
}

function beginWith(statementTimeoutMs: number): string {
  return `begin; set local statement_timeout = ${Number(statementTimeoutMs)}`;
}

/** SQLSTATEs that tell of the database's state rather than of the statement, and what each comes down to. */
function whyAwayByState(state: string, timeoutMs: number): string | undefined {
  switch (state) {
    case '57014':
      return `a statement took longer than ${timeoutMs.toLocaleString('en-US')} ms (sqlTimeoutMs), or was cancelled`;
    case '57P01':
    case '57P02':
      return 'it is shutting down';
    case '57P03':
      return 'it is starting up or shutting down';
    case '53300':
      return 'it has as many clients as it accepts (max_connections)';
    case '25006':
      return 'it is a replica that can only be read';
    case '25P03':
      return 'a transaction stood still for too long and was ended';
    case '55P03':
      return 'a lock that it takes is held by others';
    case '40001':
    case '40P01':
      return 'two transactions were in each other’s way, and this one had to give in';
    default:
  }
  const reasons: Readonly<Record<string, string>> = {
    '08': 'the connection failed',
    '53': 'it has no disk, memory or connections left',
    '57': 'it was told to stop what it did',
    '58': 'its disk or its system failed',
  };
  return reasons[state.slice(0, 2)];
}

/** Why TLS can't be agreed upon; undefined: that is not why. */
function whyNotSecured(error: unknown): string | undefined {
  return error instanceof Error && !(error instanceof pg.DatabaseError)
    ? tlsFailure(error.message, 'postgresTls')
    : undefined;
}

/** Why the database is away, as the end of a sentence; undefined: it is not, and the error is about what was asked. */
function whyAway(error: unknown, timeoutMs: number): string | undefined {
  if (error instanceof pg.DatabaseError) return whyAwayByState(error.code ?? '', timeoutMs);
  if (!(error instanceof Error) || error instanceof DatabaseUnavailable) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && SYSTEM_FAILURES.has(code)) return `${SYSTEM_FAILURES.get(code)} (${code})`;
  if (/timeout/i.test(error.message) && DRIVER_MESSAGES.test(error.message)) {
    return `it did not answer within ${timeoutMs.toLocaleString('en-US')} ms (sqlTimeoutMs)`;
  }
  return DRIVER_MESSAGES.test(error.message) ? 'the connection broke' : undefined;
}

const SYSTEM_FAILURES: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nothing listens there'],
  ['ENOENT', 'nothing listens there'],
  ['ENOTFOUND', 'its name is not known'],
  ['EAI_AGAIN', 'its name could not be looked up'],
  ['ECONNRESET', 'the connection broke'],
  ['EPIPE', 'the connection broke'],
  ['ETIMEDOUT', 'the connection timed out'],
  ['EHOSTUNREACH', 'its host can not be reached'],
  ['ENETUNREACH', 'its network can not be reached'],
  ['EADDRNOTAVAIL', 'no local port is free'],
  ['EMFILE', 'this process has too many files and connections open'],
]);

/** The driver's own errors carry no code. */
const DRIVER_MESSAGES =
  /^(Connection terminated|Connection ended|Query read timeout|timeout exceeded|timeout expired|Client has encountered a connection error|Client was closed|Cannot use a pool after|The server does not support SSL)/i;

function sentencePart(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

function nameOf(options: PostgresOptions): string {
  if (!('url' in options)) return options.name;
  const url = parsedUrl(options.url);
  // Never the user nor the password; a socket's folder stands in the query.
  return `The database at ${url.host === '' ? (url.searchParams.get('host') ?? 'localhost') : url.host}`;
}

function parsedUrl(url: string): URL {
  // `new URL` would quote the URL in its error, password and all.
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new ConfigurationError([
      'postgresUrl is no URL of a Postgres. Write postgres://user:password@host:5432/name, with special characters of the password percent-encoded.',
    ]);
  }
  return parsed;
}

function connectionOf(options: PostgresOptions): pg.ClientConfig {
  if ('url' in options) {
    const { url, tls } = options;
    return tls === undefined
      ? { connectionString: url }
      : { connectionString: withoutSsl(parsedUrl(url)), ssl: clientTls(tls) as ConnectionOptions };
  }
  return {
    host: options.socketFolder,
    port: options.socketPort,
    user: options.user,
    database: options.database,
  };
}

/** What the driver finds in the URL it would prefer to what it is given beside it. */
function withoutSsl(url: URL): string {
  for (const name of ['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'])
    url.searchParams.delete(name);
  return url.href;
}

/** Postgres's `bigint` and `bigint[]`. */
const INT8 = 20;
const INT8_ARRAY = 1016;

const getTypeParser: pg.CustomTypesConfig['getTypeParser'] = (id: number, format?: 'text' | 'binary') => {
  if (id === INT8) return safeInteger;
  if (id === INT8_ARRAY) {
    const parse = pg.types.getTypeParser(INT8_ARRAY as never, 'text') as (text: string) => (string | null)[];
    return (text: string) => parse(text).map((item) => (item === null ? null : safeInteger(item)));
  }
  return pg.types.getTypeParser(id, format as 'text');
};

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(
      `The database answered ${text}, which is beyond the whole numbers that JavaScript holds (2^53).`,
    );
  }
  return value;
}
