import { expect, it } from 'vitest';
import { newCallId } from './call-id.js';

it('gives ids in OpenAI’s form, none twice, of all letters and digits alike', () => {
  const ids = Array.from({ length: 5_000 }, newCallId);
  for (const id of ids) expect(id).toMatch(/^call_[A-Za-z0-9]{24}$/);
  expect(new Set(ids).size).toBe(ids.length);
  const counts = new Map<string, number>();
  for (const character of ids.flatMap((id) => [...id.slice(5)])) {
    counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  // 120,000 characters over 62: about 1,935 each, and a spread of 44. Bytes taken modulo 62 would give some a quarter more.
  expect(counts.size).toBe(62);
  for (const count of counts.values()) expect(Math.abs(count - 120_000 / 62)).toBeLessThan(300);
});
