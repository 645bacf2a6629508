import { expect, it } from 'vitest';
import { aRecord } from './record.testing.js';
import { StrangerAllowance } from './stranger-allowance.js';

const stranger = aRecord({ keyId: undefined, endpoint: 'other', outcome: 'rejected', code: 'invalid_api_key' });

it('takes a minute of refused strangers at once, then ten a second, and everybody else', () => {
  const allowance = new StrangerAllowance();
  const taken = (nowMs: number) =>
    Array.from({ length: 2_000 }, () => allowance.take(stranger, nowMs)).filter(Boolean).length;
  expect(taken(1_000)).toBe(600);
  expect(taken(1_000)).toBe(0);
  expect(taken(3_000)).toBe(20);
  expect(taken(10_000_000)).toBe(600);
  for (const known of [{ ...stranger, keyId: 'a' }, { ...stranger, endpoint: 'chat' as const }, aRecord()]) {
    expect(allowance.take(known, 10_000_000)).toBe(true);
  }
});
