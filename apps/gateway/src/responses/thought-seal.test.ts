import { describe, expect, it } from 'vitest';
import { isSealed, ThoughtSeal } from './thought-seal.js';

const seal = new ThoughtSeal('a secret of thirty-two characters');

describe('a sealed thought', () => {
  it.each(['Hm.', '', 'é€😀', 'a\0b', '\ud800 half', '"\\\u2028', 'x'.repeat(1_000_000)])(
    'is read back: %j',
    (thought) => {
      const sealed = seal.seal(thought)!;
      expect(isSealed(sealed)).toBe(true);
      expect(seal.open(sealed)).toBe(thought);
      expect(new ThoughtSeal('a secret of thirty-two characters').open(sealed)).toBe(thought);
    },
  );

  it('is read nowhere but in its installation', () => {
    expect(new ThoughtSeal('another one of thirty-two letters').open(seal.seal('Hm.')!)).toBeUndefined();
  });

  it('is read whole and unaltered, or not at all', () => {
    const sealed = seal.seal('I should say yes.')!;
    for (let at = 0; at < sealed.length - 1; at++) {
      expect(seal.open(sealed.slice(0, at))).toBeUndefined();
      const other = sealed[at] === 'A' ? 'B' : 'A';
      expect(seal.open(sealed.slice(0, at) + other + sealed.slice(at + 1))).toBeUndefined();
    }
  });

  it('is none where another server made it', () => {
    for (const text of ['', 'gAAAAABk', 'millrace-thought-2.AAAA', '{}']) {
      expect(isSealed(text)).toBe(false);
      expect(seal.open(text)).toBeUndefined();
    }
  });

  it('is not made of a thought that is too long to be sent back', () => {
    expect(seal.seal('x'.repeat(3 * 1024 * 1024 - 2))).toHaveLength('millrace-thought-1.'.length + 4_194_326);
    expect(seal.seal('x'.repeat(3 * 1024 * 1024 - 1))).toBeNull();
  });
});
