import { expect, it } from 'vitest';
import { MemoryBudget } from './memory-budget.js';

it('takes what models were given from what is left, gives it back, and never says less than nothing', () => {
  const budget = new MemoryBudget(1_000, 100, () => 5_000);
  expect([budget.usableBytes, budget.freeBytes]).toEqual([900, 900]);
  budget.take('a', 700);
  expect(budget.freeBytes).toBe(200);
  budget.take('b', 700);
  expect(budget.freeBytes).toBe(0);
  budget.giveBack('a');
  budget.giveBack('a');
  expect([budget.takenBytes, budget.freeBytes]).toEqual([700, 200]);
});

it('believes the machine where that has less than was free at the start', () => {
  let now = 5_000;
  const budget = new MemoryBudget(1_000, 100, () => now);
  now = 300;
  expect([budget.usableBytes, budget.freeBytes]).toEqual([900, 300]);
});
