import { expect, it } from 'vitest';
import { MemoryBudget } from './memory-budget.js';

it('takes what models were given from what is left, and never says less than nothing', () => {
  const budget = new MemoryBudget(1_000, 100);
  expect([budget.availableBytes, budget.reserveBytes]).toEqual([1_000, 100]);
  budget.take(700);
  expect(budget.availableBytes).toBe(300);
  budget.take(700);
  expect(budget.availableBytes).toBe(0);
});
