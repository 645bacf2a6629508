import { describe, expect, it } from 'vitest';
import { RetryBudget } from './retry-budget.js';

function taken(budget: RetryBudget, nowMs: number, tries = 1_000): number {
  return Array.from({ length: tries }, () => budget.take(nowMs)).filter(Boolean).length;
}

describe('the budget of retries', () => {
  it('has so many each second however few requests there are, and saves ten seconds of them', () => {
    const budget = new RetryBudget({ retryPercent: 0, retriesPerSecondMin: 10 }, 0);
    expect(taken(budget, 0)).toBe(100);
    expect(taken(budget, 1_000)).toBe(10);
    expect(taken(budget, 3_600_000)).toBe(100);
  });

  it('earns some with every hundred requests, and saves no more than a hundred', () => {
    const budget = new RetryBudget({ retryPercent: 20, retriesPerSecondMin: 0 }, 0);
    for (let request = 0; request < 50; request++) budget.earn();
    expect(taken(budget, 0)).toBe(10);
    for (let request = 0; request < 100_000; request++) budget.earn();
    expect(taken(budget, 0)).toBe(100);
  });

  it('allows none where both are 0, nor gains any when the clock goes back', () => {
    const budget = new RetryBudget({ retryPercent: 0, retriesPerSecondMin: 0 }, 1_000);
    budget.earn();
    expect(taken(budget, 0)).toBe(0);
  });
});
