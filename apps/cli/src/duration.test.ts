import { describe, expect, it } from 'vitest';
import { momentOf, secondsOf } from './duration.js';

describe('a duration', () => {
  it.each([
    ['90s', 90],
    ['15m', 900],
    ['12h', 43_200],
    ['30d', 2_592_000],
    ['0s', 0],
  ])('%s is %i seconds', (text, seconds) => expect(secondsOf(text)).toBe(seconds));

  it.each(['', '5', 'd', '-1d', '1.5h', '1w', '1 d', '1d ', '1D', '1d\n', '9'.repeat(20)])('is not %j', (text) => {
    expect(secondsOf(text)).toBeUndefined();
  });
});

describe('a moment', () => {
  const nowMs = Date.UTC(2026, 5, 1, 12);

  it('is so long from now, a day, or a time of it', () => {
    expect(momentOf('1h', nowMs)).toBe(nowMs / 1_000 + 3_600);
    expect(momentOf('2027-01-01', nowMs)).toBe(Date.UTC(2027, 0, 1) / 1_000);
    expect(momentOf('2027-01-01T10:30Z', nowMs)).toBe(Date.UTC(2027, 0, 1, 10, 30) / 1_000);
    expect(momentOf('2027-01-01T10:30:00+02:00', nowMs)).toBe(Date.UTC(2027, 0, 1, 8, 30) / 1_000);
  });

  it.each(['2027', '2027-1-1', '2027-13-01', '2027-02-30', '2027-04-31', 'tomorrow', '1767225600', '2027-01-01T10:30'])(
    'is not %s',
    (text) => expect(momentOf(text, nowMs)).toBeUndefined(),
  );
});
