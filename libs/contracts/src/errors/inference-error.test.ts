import { describe, expect, it } from 'vitest';
import {
  ERROR_CATALOG,
  type ErrorCode,
  InferenceError,
  type RefusingLimit,
  toOpenAiResponse,
} from './inference-error.js';

const retryAfter = (code: ErrorCode, details = {}) =>
  toOpenAiResponse(new InferenceError(code, 'no', details)).headers['retry-after'];

describe('Retry-After', () => {
  it('is on every answer that asks to try again, with a second when nothing better is known', () => {
    const codes = (Object.keys(ERROR_CATALOG) as ErrorCode[]).filter((code) => retryAfter(code) !== undefined);
    expect(codes).toEqual([
      'conversation_locked',
      'rate_limit_exceeded',
      'model_not_ready',
      'store_unavailable',
      'worker_lost',
      'shutting_down',
    ]);
    expect(codes.map((code) => retryAfter(code))).toEqual(['1', '1', '1', '2', '1', '1']);
  });

  it('is not on what only a person can mend, which clients are told not to try again', () => {
    const told = (Object.keys(ERROR_CATALOG) as ErrorCode[]).filter(
      (code) => toOpenAiResponse(new InferenceError(code, 'x')).headers['x-should-retry'] === 'false',
    );
    expect(told).toEqual([
      'response_cancelled',
      'batch_over',
      'model_busy',
      'insufficient_quota',
      'upstream_unauthorized',
      'no_verdict',
      'model_failed',
      'store_full',
    ]);
    expect(told.map((code) => retryAfter(code))).toEqual(told.map(() => undefined));
    expect(retryAfter('rate_limit_exceeded', { shouldRetry: false })).toBeUndefined();
    expect(retryAfter('insufficient_quota', { shouldRetry: false, retryAfterSeconds: 60 })).toBe('60');
  });

  it('goes with a type that tells too many tokens from too many requests, as OpenAI does', () => {
    const typeOf = (limit: RefusingLimit) =>
      toOpenAiResponse(new InferenceError('rate_limit_exceeded', 'no', { limit })).body.error.type;
    expect([typeOf('tokens_per_minute'), typeOf('requests_per_minute'), typeOf('queue')]).toEqual([
      'tokens',
      'requests',
      'requests',
    ]);
  });

  it('is what the refusal says, if it says it', () => {
    expect(retryAfter('rate_limit_exceeded', { retryAfterSeconds: 7 })).toBe('7');
    expect(retryAfter('invalid_request', { retryAfterSeconds: 3 })).toBe('3');
  });
});
