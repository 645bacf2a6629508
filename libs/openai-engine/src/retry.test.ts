import { InferenceError } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { retryDelayMs, retrying } from './retry.js';
import { UpstreamFailure } from './upstream-failure.js';

describe('how long to wait before another attempt', () => {
  it('doubles from 250 ms to 8 s, and is between half of that and all', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.double({ min: 0, max: 1, noNaN: true }), (retries, chance) => {
        const whole = Math.min(8_000, 250 * 2 ** retries);
        const delay = retryDelayMs(retries, { retry: 'later' }, chance, 0)!;
        expect(delay).toBeGreaterThanOrEqual(whole / 2);
        expect(delay).toBeLessThanOrEqual(whole);
      }),
    );
    expect(retryDelayMs(0, { retry: 'later' }, 1, 0)).toBe(250);
    expect(retryDelayMs(3, { retry: 'later' }, 0, 0)).toBe(1_000);
  });

  it('is what the server asks, up to a limit', () => {
    expect(retryDelayMs(0, { retry: 'later', retryAfterMs: 30_000 }, 1, 30_000)).toBe(30_000);
    expect(retryDelayMs(0, { retry: 'later', retryAfterMs: 30_001 }, 1, 30_000)).toBeUndefined();
    // Never sooner than without it: many were told the same.
    expect(retryDelayMs(1, { retry: 'later', retryAfterMs: 1 }, 1, 30_000)).toBe(500);
  });

  it('is no time at all where none makes sense', () => {
    expect(retryDelayMs(0, { retry: 'never', retryAfterMs: 1 }, 1, 30_000)).toBeUndefined();
  });
});

describe('an attempt that fails at once', () => {
  it('is repeated without end only while connections lie about', async () => {
    const error = new InferenceError('upstream_failed', 'stale');
    let attempts = 0;
    const attempt = async () => {
      attempts++;
      throw new UpstreamFailure(error, 'at once');
    };
    const terms = {
      retriesMax: 0,
      deadlineAtMs: performance.now() + 1_000,
      signal: new AbortController().signal,
      retryAfterMsMax: 0,
    };

    await expect(retrying(attempt, { ...terms, onFailure: () => {} })).rejects.toBe(error);
    expect(attempts).toBe(9);
  });
});
