import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ageOf, timeText } from './certificate-age.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe('the age of a certificate', () => {
  const year = { notBeforeMs: 0, notAfterMs: 365 * DAY_MS };

  it.each([
    [-1, 'not yet valid'],
    [0, 'fresh'],
    [334, 'fresh'],
    [335, 'ending'],
    [357, 'ending'],
    [358, 'near its end'],
    [363, 'near its end'],
    [364, 'on its last day'],
    [365, 'expired'],
    [1_000, 'expired'],
  ])('of one for a year after %d days is: %s', (days, age) => {
    expect(ageOf(year, days * DAY_MS)).toBe(age);
  });

  it('of one that a program renews each day is no news while the renewal is in time', () => {
    const day = { notBeforeMs: 0, notAfterMs: DAY_MS };
    expect(ageOf(day, 16 * HOUR_MS)).toBe('fresh');
    expect(ageOf(day, 20 * HOUR_MS)).toBe('ending');
    expect(ageOf(day, 23.9 * HOUR_MS)).toBe('on its last day');
  });

  it('only goes one way', () => {
    const ages = ['not yet valid', 'fresh', 'ending', 'near its end', 'on its last day', 'expired'];
    fc.assert(
      fc.property(fc.nat(1e12), fc.nat(1e12), fc.nat(1e12), (lifeMs, first, second) => {
        const [earlier, later] = [first, second].sort((a, b) => a - b) as [number, number];
        const rank = (nowMs: number) => ages.indexOf(ageOf({ notBeforeMs: 1e11, notAfterMs: 1e11 + lifeMs }, nowMs));
        expect(rank(earlier)).toBeLessThanOrEqual(rank(later));
      }),
    );
  });

  it('is said in words', () => {
    expect([2 * DAY_MS, DAY_MS, 5 * HOUR_MS, HOUR_MS, 1].map(timeText)).toEqual([
      '2 days',
      'one day',
      '5 hours',
      'one hour',
      'less than an hour',
    ]);
  });
});
