import { describe, expect, it } from 'vitest';
import { spellDuration } from './rate-headers.js';

describe('spellDuration', () => {
  it.each([
    [0, '0s'],
    [17, '17ms'],
    [16.2, '17ms'],
    [999.5, '1s'],
    [1_000, '1s'],
    [8_640, '8.64s'],
    [59_999, '59.999s'],
    [60_000, '1m0s'],
    [360_000, '6m0s'],
    [90_500, '1m30.5s'],
    [7_200_000, '2h0m0s'],
  ])('writes %d ms as %s', (ms, spelt) => {
    expect(spellDuration(ms)).toBe(spelt);
  });
});
