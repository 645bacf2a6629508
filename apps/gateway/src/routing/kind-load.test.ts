import { describe, expect, it } from 'vitest';
import { KindLoad } from './kind-load.js';

describe('the load of a kind of prompt', () => {
  it('widens its part of the workers as it grows, and narrows it later', () => {
    const kinds = new KindLoad();
    kinds.add(1, 1, 0);
    expect(kinds.narrowingOf(1, 10, 1_024)).toBe(8);
    kinds.add(1, 999, 0);
    kinds.add(1, 1, 300_000);
    // 1,000 answers of 10 each are 100 workers, and room for four times as many.
    expect(kinds.narrowingOf(1, 10, 1_024)).toBe(1);
    kinds.add(1, -1_001, 300_000);
    kinds.add(1, 1, 900_000);
    expect(kinds.narrowingOf(1, 10, 1_024)).toBe(8);
  });

  it('is bounded in kinds, and what comes back of one that was forgotten counts for nothing', () => {
    const kinds = new KindLoad();
    for (let anchor = 0; anchor < 10_001; anchor++) kinds.add(anchor, 1, 0);
    kinds.add(0, -1, 0);
    expect(kinds.size).toBe(10_000);
  });
});
