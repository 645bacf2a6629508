import { describe, expect, it } from 'vitest';
import { placesToFill } from './places-to-fill.js';

const row = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

describe('placesToFill', () => {
  it.each([
    ['nothing to fill in a row', row(16), 100, []],
    ['nothing before the first place', row(4, 10), 100, []],
    ['one hole', [0, 1, 3, 4], 100, [2]],
    ['a gap of three', [...row(8), ...row(8, 11)], 100, [8, 9, 10]],
    ['a gap of four is left', [...row(8), ...row(8, 12)], 100, []],
    ['every second place', [10, 12, 14], 100, [11, 13]],
    ['no more fillers than work', [10, 14, 18], 100, [11, 12, 13]],
    ['no more than there is room for', [0, 1, 3, 5, 6, 7], 1, [2]],
    ['a place that can not be filled leaves its gap open', [...row(4), ...row(4, 6)], 100, []],
    ['no work at all', [], 100, []],
  ])('%s', (_what, places, most, fillers) => {
    expect(placesToFill(places, (place) => place !== 5, most)).toEqual(fillers);
  });
});
