import { describe, expect, it } from 'vitest';
import { figuresOf, plotOf } from './routing-page.ts';
import { type Scenario, simulate } from './simulation.ts';

/** Small, and always the same: how long a choice takes is for `make simulate-routing` to say. */
const SMALL: Scenario = {
  name: 'small',
  seed: 7,
  workers: 60,
  streams: 600,
  gateways: 1,
  seconds: 110,
  warmUpSeconds: 60,
  affinity: true,
};

describe('the choice of workers, simulated', () => {
  it('finds what was read before, and gives nobody more than the bound above the mean', () => {
    const outcome = simulate(SMALL);
    expect(outcome.hits).toBeGreaterThan(0.86);
    expect(outcome.ratiosMax.streams).toBeLessThan(1.4);
    expect(outcome.ratiosMean.streams).toBeLessThan(1.25);
    expect(outcome.moments.at(-1)!.streams).toBeGreaterThan(500);
  });

  it('finds far less where only the load decides', () => {
    expect(simulate({ ...SMALL, affinity: false }).hits).toBeLessThan(0.7);
  });

  it('is much the same where gateways know nothing of each other, and where workers come and go', () => {
    const shared = simulate({ ...SMALL, gateways: 3 });
    const moving = simulate({ ...SMALL, away: { workers: 6, fromSeconds: 65, toSeconds: 75 } });
    expect(shared.hits).toBeGreaterThan(0.6);
    expect(moving.hits).toBeGreaterThan(0.8);
    expect(figuresOf([shared, moving])).toContain('3 gateways');
    expect(plotOf([shared, moving])).not.toContain('NaN');
  });
});
