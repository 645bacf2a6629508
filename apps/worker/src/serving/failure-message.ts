import { toInferenceError } from '@millrace/contracts';
import type { Failure } from '@millrace/contracts/protocol';

/** What was thrown, as a gateway is told: nothing of the inside of what nobody foresaw. */
export function failureOf(error: unknown): Failure {
  const { code, message, details } = toInferenceError(error);
  return {
    code,
    message,
    param: details.param ?? '',
    retryAfterSeconds: details.retryAfterSeconds ?? 0,
    limit: details.limit ?? '',
  };
}
