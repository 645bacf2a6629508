import { type ErrorCode, InferenceError } from '@millrace/contracts';

/** What becomes of a line that was refused or failed. */
export type AfterFailure = { readonly kind: 'tell' } | { readonly kind: 'again'; readonly inMs: number };

export interface FailureTerms {
  /** How often this line has failed, this time included. */
  readonly attempts: number;
  /** How often in a row lines of this slice were put off, this time included. */
  readonly putOff: number;
  readonly leftMs: number;
}

/** What has nothing to do with the request: it is tried again for as long as the batch has time. */
const LATER: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'model_not_ready',
  'store_unavailable',
  'worker_lost',
  'shutting_down',
]);
/** What may have to do with the request: it is tried a few times. */
const FEW_TIMES: ReadonlySet<ErrorCode> = new Set([
  'internal_error',
  'upstream_failed',
  'answer_broken_off',
  'model_failed',
  'deadline_exceeded',
]);
const ATTEMPTS_MAX = 3;
const PUT_OFF_MS_MIN = 250;
export const PUT_OFF_MS_MAX = 60_000;
const TELL: AfterFailure = { kind: 'tell' };

/** Pure. What is told goes into the error file, as the request itself would have been told. */
export function afterFailure(error: unknown, { attempts, putOff, leftMs }: FailureTerms): AfterFailure {
  if (!(error instanceof InferenceError)) return attempts < ATTEMPTS_MAX ? again(backOff(attempts)) : TELL;
  const { code, details } = error;
  const askedMs = details.retryAfterSeconds === undefined ? undefined : details.retryAfterSeconds * 1_000;
  // A budget begins anew at midnight. It is looked at earlier, since somebody may raise it.
  if (code === 'insufficient_quota') return askedMs !== undefined && askedMs < leftMs ? again(askedMs) : TELL;
  if (LATER.has(code) && details.shouldRetry !== false) return again(Math.max(askedMs ?? 0, backOff(putOff)));
  if (FEW_TIMES.has(code) && attempts < ATTEMPTS_MAX) return again(backOff(attempts));
  return TELL;
}

function again(inMs: number): AfterFailure {
  return { kind: 'again', inMs: Math.min(inMs, PUT_OFF_MS_MAX) };
}

function backOff(times: number): number {
  return Math.min(PUT_OFF_MS_MAX, PUT_OFF_MS_MIN * 2 ** Math.min(times - 1, 20));
}
