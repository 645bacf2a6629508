import { describe, expect, it } from 'vitest';
import { BACKGROUND_PRIORITY_MAX } from './engine.js';
import { allowedMsOf, timeoutMsOf, timeoutSettingOf } from './time-limits.js';

const LIMITS = { requestTimeoutMs: 100, backgroundTimeoutMs: 1_000 };

describe('how long a request may take', () => {
  it.each([
    [100, 'requestTimeoutMs'],
    [0, 'requestTimeoutMs'],
    [-100, 'requestTimeoutMs'],
    [BACKGROUND_PRIORITY_MAX, 'backgroundTimeoutMs'],
    [2 * BACKGROUND_PRIORITY_MAX, 'backgroundTimeoutMs'],
  ] as const)('is, of priority %d, what %s says', (priority, setting) => {
    expect(timeoutSettingOf(priority)).toBe(setting);
    expect(timeoutMsOf(priority, LIMITS)).toBe(LIMITS[setting]);
    expect(allowedMsOf({ priority }, LIMITS)).toBe(LIMITS[setting]);
  });

  it('is less where it asks for less, and no more whatever it asks for', () => {
    expect(allowedMsOf({ priority: 0, deadlineMs: 5 }, LIMITS)).toBe(5);
    expect(allowedMsOf({ priority: 0, deadlineMs: 500 }, LIMITS)).toBe(100);
    expect(allowedMsOf({ priority: BACKGROUND_PRIORITY_MAX, deadlineMs: 500 }, LIMITS)).toBe(500);
  });
});
