import { describe, expect, it } from 'vitest';
import { BoundedCounts } from './bounded-counts.js';

describe('counts', () => {
  it('go up by name, and begin anew when they are forgotten', () => {
    const counts = new BoundedCounts(10);
    expect([counts.add('a'), counts.add('a'), counts.add('b')]).toEqual([1, 2, 1]);
    counts.forget('a');
    expect([counts.add('a'), counts.add('b')]).toEqual([1, 2]);
  });

  it('are of a limited number of names, the latest', () => {
    const counts = new BoundedCounts(2);
    for (const name of ['a', 'b', 'a', 'c']) counts.add(name);
    expect([counts.add('a'), counts.add('b')]).toEqual([3, 1]);
  });
});
