import { expect, it } from 'vitest';
import { randomHex } from './random-hex.js';

it('never gives the same bytes twice, also when what was fetched runs out in between', () => {
  const ids = Array.from({ length: 3_000 }, (_, index) => randomHex(5 + (index % 9)));
  expect(new Set(ids.map((id) => id.slice(0, 10))).size).toBe(3_000);
  for (const [index, id] of ids.entries()) expect(id).toMatch(new RegExp(`^[0-9a-f]{${2 * (5 + (index % 9))}}$`));
});
