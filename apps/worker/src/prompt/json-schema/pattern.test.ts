import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accepts, TooLarge } from './automaton.js';
import { patternAutomaton, UnusablePattern } from './pattern.js';

const PATTERNS = [
  'abc',
  '^abc$',
  '^[a-c]+$',
  '^a|b$',
  'a$b',
  '(a|a)*b',
  '^(x+x+)+y$',
  '\\ba\\b',
  'a\\Bb',
  '^\\w+ \\w+$',
  '^.{2,3}$',
  '^a?b*c+$',
  '(^|a)b($|c)',
  '^(?!ab)[a-c]*$',
  '^(?=.*a)(?=.*b).{2,}$',
  '^(?:a{2}|b{1,2})*$',
  '^[^a-b]*$',
  '^\\p{Lu}?\\d+$',
  '(?<y>a)b',
  '',
  '^$',
  '^\\s*a',
  '^(?=a|b)(?!b$)\\w',
  '^a.c$',
  'a{0}b',
  '^(a?){5}a{3}$',
  '(.*)*c',
  '^[\\s\\S]{0,3}$',
  '\\u{61}b',
  '^[ä-ü😀]+$',
  '^\\b',
  '\\B$',
];

describe('the automaton of a pattern', () => {
  it.each(PATTERNS)('accepts what the pattern is found in: %j', (pattern) => {
    const automaton = patternAutomaton(pattern);
    const expression = new RegExp(pattern, 'u');
    const text = fc.string({
      unit: fc.constantFrom('a', 'b', 'c', 'x', 'y', ' ', '1', 'A', 'ä', '😀', '\n', '_'),
      maxLength: 7,
    });
    fc.assert(
      fc.property(text, (text) => {
        expect([text, accepts(automaton, text)]).toEqual([text, expression.test(text)]);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['(a{1,1000}){1,1000}', TooLarge],
    ['(((((a{100}){100}){100}){100}){100})', TooLarge],
    ['(.*a.{20})', TooLarge],
    ['(a|b)*a(a|b){16}$', TooLarge],
    ['[\\s\\S]{0,5000}b', TooLarge],
    ['(a)\\1', UnusablePattern],
    ['(?<=a)b', UnusablePattern],
    ['a(?=b)', UnusablePattern],
    ['[', UnusablePattern],
    ['a**', UnusablePattern],
    ['('.repeat(4_000), UnusablePattern],
    ['a'.repeat(5_000), UnusablePattern],
  ])('is refused within bounds: %s', (pattern, error) => {
    expect(() => patternAutomaton(pattern)).toThrow(error);
  });
});
