import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repetitions } from './repetitions.js';

/** What the function says it computes, by trying every place. */
function byTrying(history: readonly number[], lengthMin: number, lengthMax: number): Map<number, number> {
  const longest = new Map<number, number>();
  for (let at = 1; at < history.length; at++) {
    let length = 0;
    while (length < at && history[at - 1 - length] === history[history.length - 1 - length]) length++;
    const counted = Math.min(length, lengthMax);
    if (counted >= lengthMin) longest.set(history[at]!, Math.max(counted, longest.get(history[at]!) ?? 0));
  }
  return longest;
}

describe('repetitions', () => {
  // The worked example in llama.cpp's own source: after `a b c c b c y a b c`, what would go on repeating?
  it('finds the tokens of the worked example of llama.cpp', () => {
    const [a, b, c, y] = [1, 2, 3, 4];
    const found = repetitions(Uint32Array.of(a, b, c, c, b, c, y, a, b, c), 1, 10);
    expect(found).toEqual(
      new Map([
        [c, 3],
        [b, 1],
        [y, 2],
      ]),
    );
  });

  it('finds what trying every place finds', () => {
    const history = fc.array(fc.nat(2), { maxLength: 60 });
    fc.assert(
      fc.property(history, fc.nat(4), fc.nat(8), (tokens, lengthMin, lengthMax) => {
        const found = repetitions(Uint32Array.from(tokens), lengthMin, lengthMax);
        expect(found).toEqual(byTrying(tokens, lengthMin, lengthMax));
      }),
      { numRuns: 500 },
    );
  });

  it('reads a long history of one token in time that grows with its length only', () => {
    // Comparing every place to the end would be 20 billion comparisons here.
    expect(repetitions(new Uint32Array(200_000), 2, 200_000)).toEqual(new Map([[0, 199_999]]));
  });
});
