import type { SqlDatabase, SqlQuery } from './sql-database.js';

/**
 * A transaction that somebody waits for only until `signal` aborts: it is given up then, and never committed afterwards. Where its commit is
 * under way by then, what became of it is waited for, which takes no longer than a statement may: nobody could tell otherwise.
 *
 * @throws what `signal` aborted with: nothing of it was done. DatabaseUnavailable: of one that broke off in its commit nobody knows.
 */
export async function transactionUntil<T>(
  database: Pick<SqlDatabase, 'transaction'>,
  signal: AbortSignal,
  work: (query: SqlQuery) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  let isDecided = false;
  const late = Promise.withResolvers<never>();
  const giveUp = () => {
    if (!isDecided) late.reject(signal.reason);
  };
  signal.addEventListener('abort', giveUp, { once: true });
  const done = database.transaction(async (query) => {
    const result = await work((sql, values) => {
      signal.throwIfAborted();
      return query(sql, values);
    });
    signal.throwIfAborted();
    isDecided = true;
    return result;
  });
  try {
    return await Promise.race([done, late.promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
    done.catch(() => {}); // It is rolled back when nobody waits any more.
  }
}
