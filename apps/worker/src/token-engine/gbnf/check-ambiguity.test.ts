import { describe, expect, it } from 'vitest';
import { checkGrammar } from './check-ambiguity.js';
import { ORDINARY_GRAMMARS } from './grammars.testing.js';

describe('a grammar that a caller sends', () => {
  for (const [name, { gbnf }] of Object.entries(ORDINARY_GRAMMARS)) {
    it(`is taken when it is an ordinary one: ${name}`, () => {
      expect(checkGrammar(gbnf).rules.length).toBeGreaterThan(0);
    });
  }

  it.each([
    ['each character doubles the places', 'root ::= "x" root "a" | "x" root "b" | "x"'],
    ['it hides behind a choice', 'root ::= "a" | "b" e\ne ::= "x" e "a" | "x" e "b" | "x"'],
    ['it hides behind a long text', `root ::= "${'z'.repeat(300)}" e\ne ::= "x" e "a" | "x" e "b" | "x"`],
    ['each character doubles the ways', 'root ::= ("x" | [x])* "y"'],
    ['a bounded repetition of a choice', 'root ::= ("x" | [x]){0,50} "y"'],
    ['a row of what may be left out', `root ::= ${'"x"? '.repeat(40)}`],
    ['blanks beside blanks', `root ::= ${'[ ]* '.repeat(6)} "x"`],
    ['words and blanks that may be left out', 'root ::= [a-z]+ (" "? [a-z]+)* "."'],
    ['empty alternatives upon empty alternatives', emptyUponEmpty(14)],
  ])('is refused when it is too ambiguous: %s', (_, gbnf) => {
    expect(() => checkGrammar(gbnf)).toThrow(
      expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining('too ambiguous') }),
    );
  });

  it('is refused when each character must be compared with too many', () => {
    const set = (count: number) =>
      `[${Array.from({ length: count }, (_, at) => String.fromCodePoint(0x4e00 + 2 * at)).join('')}]`;
    expect(checkGrammar(`root ::= ${set(4_000)}`).rules.length).toBeGreaterThan(0);
    expect(() => checkGrammar(`root ::= ${set(4_001)}`)).toThrow(
      'with 4001 characters and ranges at once; at most 4000',
    );
    const many = Array.from({ length: 9 }, (_, at) => `set "${at}"`).join(' | ');
    expect(() => checkGrammar(`root ::= "x" (${many})\nset ::= ${set(500)}`)).toThrow('4500 characters');
  });

  it('may be ambiguous to a degree', () => {
    expect(checkGrammar('root ::= ("- " .* "\\n")+').rules.length).toBeGreaterThan(0);
    expect(checkGrammar('root ::= ws "a" ws ws\nws ::= [ \\n]*').rules.length).toBeGreaterThan(0);
  });
});

function emptyUponEmpty(levels: number): string {
  const rules = Array.from({ length: levels }, (_, n) => `r${n} ::= r${n + 1} r${n + 1} "${n}"?`);
  return `root ::= r0\n${rules.join('\n')}\nr${levels} ::= "a"?`;
}
