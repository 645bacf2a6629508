/**
 * A Postgres, somewhere: the server of `postgresUrl`, or the embedded one in a process of its own. One dialect for both.
 *
 * Values go as parameters (`$1`), never into the text. What is away, slow beyond `sqlTimeoutMs` or ends in mid-statement is a
 * `DatabaseUnavailable`, and the statement may or may not have been carried out; what Postgres refuses is its own error.
 */
export interface SqlDatabase {
  /** One statement, in a transaction of its own. */
  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** All of what `work` asks, or nothing of it; nothing, too, when `work` throws. Keep it short: embedded, it is alone. */
  transaction<T>(work: (query: SqlQuery) => Promise<T>): Promise<T>;
  /** What is wrong with it just now, as a sentence; undefined: nothing, as far as the last attempts tell. */
  readonly trouble: string | undefined;
  /** Ends what is running. Afterwards everything is `DatabaseUnavailable`. */
  close(): Promise<void>;
}

export type SqlQuery = SqlDatabase['query'];

/** The database can not be asked just now; the request that needs it can be sent again. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable';
}
