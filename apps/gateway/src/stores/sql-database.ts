/**
 * A Postgres, somewhere: the server of `postgresUrl`, or the embedded one in a process of its own. One dialect for both.
 *
 * Values go as parameters (`$1`), never into the text. What is away, slow beyond `sqlTimeoutMs` or ends in mid-statement is a
 * `DatabaseUnavailable`, and the statement may or may not have been carried out; what Postgres refuses is its own error.
 *
 * Values: `undefined` is null; an array is a Postgres array, so JSON goes through `JSON.stringify`; text that holds the
 * character NUL is refused by Postgres (`22021`). Results: `bigint` is a number, and an error beyond 2^53; `numeric` is text,
 * so cast sums (`sum(tokens)::bigint`); `timestamptz` is a `Date`, with its microseconds cut off; `jsonb` is parsed.
 *
 * Partitions work on both sides, `detach partition … concurrently` too, though only by `query`: it takes no part in a
 * transaction. Where it runs out of time it stays half detached, until `detach partition … finalize`.
 * There is no LISTEN: the embedded side delivers nothing.
 */
export interface SqlDatabase {
  /** One statement, in a transaction of its own; several with semicolons between, as long as there are no values. */
  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /**
   * All of what `work` asks, one statement at a time, or nothing of it; nothing, too, when `work` throws. Keep it short:
   * embedded, it is alone. Where the database goes away at its very end, it may have been kept.
   *
   * @param statementTimeoutMs of each statement, for what takes longer than a request may: a change of the schema.
   */
  transaction<T>(work: (query: SqlQuery) => Promise<T>, statementTimeoutMs?: number): Promise<T>;
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
