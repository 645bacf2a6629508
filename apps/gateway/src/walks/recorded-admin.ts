import { InferenceError } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import type { Call } from '../vocabulary.js';

/**
 * Does what a call of the admin API asks, on record.
 *
 * @param advice what to do when the database is away.
 * @throws what `work` throws; `store_unavailable` in place of `DatabaseUnavailable`.
 */
export async function recordedAdmin<T>(
  requestLog: RequestLog,
  call: Call,
  advice: string,
  work: () => Promise<T>,
): Promise<T> {
  const record = requestLog.open('admin', call);
  try {
    const result = await work();
    record.done(0);
    return result;
  } catch (thrown) {
    const error = thrown instanceof DatabaseUnavailable ? databaseAway(thrown, advice) : thrown;
    record.fail(error);
    throw error;
  } finally {
    record.close();
  }
}

function databaseAway(cause: DatabaseUnavailable, advice: string): InferenceError {
  return new InferenceError('store_unavailable', `${cause.message} ${advice}`, { cause });
}
