import { type ErrorCode, InferenceError } from '@millrace/contracts';

/** What becomes of a line that was refused or failed. */
export type AfterFailure = { readonly kind: 'tell' } | { readonly kind: 'again'; readonly inMs: number };

export interface FailureTerms {
  /** How often this line has failed in a way that counts (`countedAs`), this time included. */
  readonly times: number;
  /** How often in a row lines of this slice were put off, this time included. */
  readonly putOff: number;
  readonly leftMs: number;
}

/** What has nothing to do with the request: it is tried again for as long as the batch has time. */
const LATER: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'model_not_ready',
  'store_unavailable',
  'shutting_down',
  'conversation_locked',
]);
/** What may have to do with the request: it is tried a few times. */
const FEW_TIMES: ReadonlySet<ErrorCode> = new Set([
  'internal_error',
  'upstream_failed',
  'answer_broken_off',
  'model_failed',
  'deadline_exceeded',
]);
const FAILURES_MAX = 3;
/** A line that kills whoever is at it takes the work of others with it, at each asking as often as the dispatcher tries. */
const LOST_MAX = 3;
const PUT_OFF_MS_MIN = 250;
export const PUT_OFF_MS_MAX = 60_000;
const TELL: AfterFailure = { kind: 'tell' };

/** Whether a failure may be the line's own doing, and what it counts as; undefined: it has nothing to do with it. */
export function countedAs(error: unknown): 'failed' | 'lost' | undefined {
  if (!(error instanceof InferenceError)) return 'failed';
  if (error.code === 'worker_lost') return 'lost';
  return FEW_TIMES.has(error.code) ? 'failed' : undefined;
}

/** Pure. What is told goes into the error file, as the request itself would have been told. */
export function afterFailure(error: unknown, { times, putOff, leftMs }: FailureTerms): AfterFailure {
  const counted = countedAs(error);
  if (counted !== undefined)
    return times < (counted === 'lost' ? LOST_MAX : FAILURES_MAX) ? again(backOff(times)) : TELL;
  const { code, details } = error as InferenceError;
  const askedMs = details.retryAfterSeconds === undefined ? undefined : details.retryAfterSeconds * 1_000;
  // A budget begins anew at midnight. It is looked at earlier, since somebody may raise it.
  if (code === 'insufficient_quota') return askedMs !== undefined && askedMs < leftMs ? again(askedMs) : TELL;
  if (LATER.has(code) && details.shouldRetry !== false) return again(Math.max(askedMs ?? 0, backOff(putOff)));
  return TELL;
}

function again(inMs: number): AfterFailure {
  return { kind: 'again', inMs: Math.min(inMs, PUT_OFF_MS_MAX) };
}

function backOff(times: number): number {
  return Math.min(PUT_OFF_MS_MAX, PUT_OFF_MS_MIN * 2 ** Math.min(times - 1, 20));
}
