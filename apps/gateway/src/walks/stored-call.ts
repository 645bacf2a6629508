import { InferenceError } from '@millrace/contracts';
import { ObjectStoreFull, ObjectStoreUnavailable } from '@millrace/storage';
import type { CallerRates } from '../limits/caller-rates.js';
import type { RequestLog } from '../request-log/request-log.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { VectorStoreUnavailable } from '../stores/vector-store.js';
import type { Call, Endpoint } from '../vocabulary.js';

/** No model: only what the key itself may ask for is counted. */
const NO_TOKENS = { model: '', promptTokens: 0, answers: 0, answerTokensMax: 0 };

/** What every call begins and ends with that is answered from the stores and asks no model: its caller's rate, and its record. */
export class StoredCalls {
  constructor(
    private readonly requestLog: RequestLog,
    private readonly rates: CallerRates,
  ) {}

  /**
   * @param work ends before the answer does where that is streamed.
   * @throws what `work` throws; `store_unavailable` or `store_full` in place of what the stores throw.
   */
  async run<T>(endpoint: Endpoint, call: Call, work: () => Promise<T>): Promise<T> {
    const record = this.requestLog.open(endpoint, call);
    try {
      const hold = await this.rates.take(call, NO_TOKENS, call.clientLeft);
      try {
        const result = await work();
        record.done(0);
        return result;
      } finally {
        hold.settle(0);
      }
    } catch (thrown) {
      const error = inWords(thrown);
      record.fail(error);
      throw error;
    } finally {
      record.close();
    }
  }
}

/** What stores throw, as a caller may read it. */
export function inWords(error: unknown): unknown {
  if (error instanceof ObjectStoreFull)
    return new InferenceError('store_full', `There is no room for the file: ${error.message}`, { cause: error });
  if (
    error instanceof ObjectStoreUnavailable ||
    error instanceof DatabaseUnavailable ||
    error instanceof VectorStoreUnavailable
  )
    return new InferenceError('store_unavailable', `${error.message} Send the request again in a moment.`, {
      cause: error,
    });
  return error;
}
