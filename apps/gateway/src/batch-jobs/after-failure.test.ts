import { type ErrorCode, type ErrorDetails, InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { afterFailure } from './after-failure.js';

const HOUR_MS = 3_600_000;

function after(code: ErrorCode, details: ErrorDetails = {}, terms = {}) {
  return afterFailure(new InferenceError(code, 'x', details), { times: 1, putOff: 1, leftMs: HOUR_MS, ...terms });
}

describe('a line that was refused', () => {
  it('waits as long as its caller is told to, and longer each time', () => {
    expect(after('rate_limit_exceeded', { retryAfterSeconds: 7 })).toEqual({ kind: 'again', inMs: 7_000 });
    expect(after('model_not_ready')).toEqual({ kind: 'again', inMs: 250 });
    expect(after('conversation_locked', { retryAfterSeconds: 1 })).toEqual({ kind: 'again', inMs: 1_000 });
    expect(after('model_not_ready', {}, { putOff: 4, times: 99 })).toEqual({ kind: 'again', inMs: 2_000 });
    expect(after('shutting_down', {}, { putOff: 1_000 })).toEqual({ kind: 'again', inMs: 60_000 });
  });

  it('is told so where waiting can not help', () => {
    for (const code of ['invalid_request', 'context_length_exceeded', 'model_not_found', 'model_not_allowed'] as const)
      expect(after(code)).toEqual({ kind: 'tell' });
    expect(after('rate_limit_exceeded', { shouldRetry: false })).toEqual({ kind: 'tell' });
  });

  it('waits for a budget that begins anew while its batch has time, and looks now and then', () => {
    expect(after('insufficient_quota', { retryAfterSeconds: 1_800 })).toEqual({ kind: 'again', inMs: 60_000 });
    expect(after('insufficient_quota', { retryAfterSeconds: 7_200 })).toEqual({ kind: 'tell' });
    expect(after('insufficient_quota')).toEqual({ kind: 'tell' });
  });
});

describe('a line that failed', () => {
  it('is tried a few times', () => {
    for (const code of ['upstream_failed', 'worker_lost'] as const) {
      const kinds = [1, 2, 3].map((times) => after(code, {}, { times }).kind);
      expect(kinds).toEqual(['again', 'again', 'tell']);
    }
    const bug = new TypeError('x');
    expect(afterFailure(bug, { times: 1, putOff: 1, leftMs: 1 }).kind).toBe('again');
    expect(afterFailure(bug, { times: 3, putOff: 1, leftMs: 1 })).toEqual({ kind: 'tell' });
  });
});
