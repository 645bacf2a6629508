import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopStrings } from './stop-strings.js';

function streamed(pieces: readonly string[], stops: readonly string[]): string {
  const matcher = new StopStrings(stops);
  return pieces.map((piece) => matcher.push(piece)).join('') + matcher.end();
}

/** The same rule, read off the whole text: the stop that is complete first, and of those the longest. */
function cutAtFirstStop(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
    if (complete.length > 0) return text.slice(0, end - Math.max(...complete.map((stop) => stop.length)));
  }
  return text;
}

describe('StopStrings', () => {
  it('finds a stop text that spans pieces, and lets no part of it through', () => {
    const matcher = new StopStrings(['END']);
    expect(['one E', 'N', 'D two'].map((piece) => matcher.push(piece))).toEqual(['one ', '', '']);
    expect(matcher.found).toBe('END');
    expect(matcher.push('more')).toBe('');
    expect(matcher.end()).toBe('');
  });

  it('lets go of what turned out not to be a stop text', () => {
    const matcher = new StopStrings(['END']);
    expect(matcher.push('EN')).toBe('');
    expect(matcher.push('T')).toBe('ENT');
  });

  it('holds back no more than may yet become a stop text', () => {
    const matcher = new StopStrings(['aab']);
    expect(matcher.push('aaaa')).toBe('aa');
    expect(matcher.push('b')).toBe('');
    expect(matcher.found).toBe('aab');
  });

  it('gives what it held back when the answer ends in another way', () => {
    const matcher = new StopStrings(['\n\n']);
    expect(matcher.push('text\n')).toBe('text');
    expect(matcher.end()).toBe('\n');
  });

  it('ends at the stop text that is complete first, without waiting for a longer one', () => {
    expect(streamed(['abcd'], ['abcd', 'bc'])).toBe('a');
  });

  it('takes the longest of those that are complete at once', () => {
    expect(streamed(['xabc'], ['bc', 'abc'])).toBe('x');
  });

  it('lets everything through when there are no stop texts', () => {
    const matcher = new StopStrings(['']);
    expect(matcher.push('anything')).toBe('anything');
  });

  it('stays quick when the text is a long beginning of a stop text', () => {
    const matcher = new StopStrings([`${'a'.repeat(10_000)}b`]);
    for (let pushed = 0; pushed < 100_000; pushed++) matcher.push('a');
    expect(matcher.end()).toHaveLength(10_000);
  }, 5_000);

  it('gives the whole text cut at the first stop, however it is cut into pieces', () => {
    // Few letters, so that stops are found, nested and overlapping.
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é', '😀'), maxLength: 40 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é', '😀'), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 12 }), fc.array(stop, { maxLength: 4 }), (pieces, stops) => {
        expect(streamed(pieces, stops)).toBe(cutAtFirstStop(pieces.join(''), stops));
      }),
      { numRuns: 2_000 },
    );
  });
});
