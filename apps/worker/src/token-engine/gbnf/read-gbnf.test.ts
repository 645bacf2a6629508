import { InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { GBNF_LIMITS, GBNF_REPETITIONS_MAX, type GbnfLimits } from './gbnf.js';
import { GbnfWalk } from './gbnf-walk.js';
import { ORDINARY_GRAMMARS } from './grammars.testing.js';
import { readGbnf } from './read-gbnf.js';

function derives(gbnf: string, text: string): boolean {
  const walk = new GbnfWalk(readGbnf(gbnf));
  return walk.accept(Buffer.from(text)) && walk.complete;
}

function refusal(gbnf: string, limits?: GbnfLimits): string {
  try {
    readGbnf(gbnf, limits);
  } catch (error) {
    expect(error).toBeInstanceOf(InferenceError);
    expect(error).toMatchObject({ code: 'invalid_request', details: { param: 'grammar' } });
    return (error as InferenceError).message;
  }
  throw new Error('The grammar was read.');
}

describe('a grammar in GBNF', () => {
  for (const [name, { gbnf, yes, no }] of Object.entries(ORDINARY_GRAMMARS)) {
    it(`is read: ${name}`, () => {
      for (const text of yes) expect([text, derives(gbnf, text)]).toEqual([text, true]);
      for (const text of no) expect([text, derives(gbnf, text)]).toEqual([text, false]);
    });
  }

  it('knows every escape', () => {
    expect(derives(String.raw`root ::= "\n\r\t\\\"\[\]\-\x41\u00e4\U0001F600"`, '\n\r\t\\"[]-Aä😀')).toBe(true);
  });

  it('takes a dash in a set as a dash where no range can be meant', () => {
    expect(derives('root ::= [a-]+', 'a-a')).toBe(true);
    expect(derives('root ::= [-a]+', 'a-a')).toBe(true);
    expect(derives('root ::= [+--]+', '+,-')).toBe(true);
    expect(derives(String.raw`root ::= [\]\-\\]+`, ']-\\')).toBe(true);
  });

  it('repeats a literal as a whole', () => {
    expect(derives('root ::= "ab"{2}', 'abab')).toBe(true);
    expect(derives('root ::= "ab"{2}', 'abb')).toBe(false);
  });

  it('bounds repetitions from both sides', () => {
    const lengths = (gbnf: string) => [0, 1, 2, 3, 4, 5].filter((length) => derives(gbnf, 'x'.repeat(length)));
    expect(lengths('root ::= "x"{2,4}')).toEqual([2, 3, 4]);
    expect(lengths('root ::= "x"{0,2}')).toEqual([0, 1, 2]);
    expect(lengths('root ::= "x"{0}')).toEqual([0]);
    expect(lengths('root ::= "x"{3,}')).toEqual([3, 4, 5]);
    expect(lengths('root ::= "x"{ 2 , }')).toEqual([2, 3, 4, 5]);
    expect(lengths('root ::= "x"?')).toEqual([0, 1]);
    expect(lengths('root ::= "x"+')).toEqual([1, 2, 3, 4, 5]);
    expect(lengths('root ::= "x"{2}{2}')).toEqual([4]);
  });

  it('lets a rule go on over ends of lines within parentheses and after a bar only', () => {
    expect(derives('root ::= "a" |\n "b" (\n "c" # of three\n "d"\n)', 'bcd')).toBe(true);
    expect(refusal('root ::= "a"\n| "b"')).toContain('line 2, column 1');
  });

  it('reads Windows and old Macintosh ends of lines', () => {
    expect(derives('root ::= a\r\na ::= b\rb ::= "b"', 'b')).toBe(true);
  });

  it('counts each character once', () => {
    expect(derives('root ::= .{2}', '😀é')).toBe(true);
  });
});

describe('a grammar that cannot be read', () => {
  it.each([
    ['root ::= "a', 'line 1, column 10: This literal is never closed.'],
    ['root ::= [a', 'line 1, column 10: This set is never closed.'],
    ['root ::= ("a" "b"', 'line 1, column 10: This `(` is never closed.'],
    ['root ::= ("a" ]', "line 1, column 15: `]` can't stand here"],
    ['root ::= "a" )', "line 1, column 14: `)` can't stand here"],
    ['root := "a"', 'line 1, column 6: `::=` should follow the name `root`.'],
    ['root ::= "a"\n\n  äh ::= "b"', 'line 3, column 3: Here a rule should begin with its name'],
    ['root ::= a_b\na ::= "x"', "line 1, column 11: `_` can't stand here"],
    [String.raw`root ::= "\q"`, 'line 1, column 11: `\\q` is no escape.'],
    [String.raw`root ::= "\u00g0"`, 'line 1, column 11: 4 hexadecimal digits should follow `\\u`.'],
    ['root ::= []', 'A set of characters needs at least one'],
    ['root ::= * "a"', 'line 1, column 10: Nothing stands before this repetition.'],
    ['root ::= "a"{3,2}', 'line 1, column 13: `{3,2}` asks for at least 3 and at most 2.'],
    ['root ::= "a"{,2}', 'A number should follow'],
    ['root ::= "a"{2;3}', '`}` should follow'],
    ['root ::= "a" | b', 'line 1, column 16: The rule `b` is used but not defined.'],
    ['root ::= "a"\nroot ::= "b"', 'line 2, column 1: The rule `root` is defined a second time.'],
    ['start ::= "a"', 'no rule `root`'],
    ['', 'no rule `root`'],
    ['root ::= <think> "a"', 'References to tokens'],
    ['root ::= !<[7]>', 'References to tokens'],
    ['root ::= "\0"', 'NUL'],
    ['root ::= "\ud800"', 'half a surrogate pair'],
  ])('says where and why: %j', (gbnf, message) => {
    expect(refusal(gbnf)).toContain(message);
  });

  it.each([
    ['root ::= root "a" | "a"', '`root`'],
    ['root ::= "x" a\na ::= b "a"\nb ::= a | "b"', 'a → b → a'],
    ['root ::= "x" a\na ::= e a "a" | "b"\ne ::= "e"?', '`a`'],
    ['root ::= "x" a\na ::= e f a "a" | "b"\ne ::= f f\nf ::= "e"*', '`a`'],
    ['root ::= ("a"*)*', '`root`'],
    ['root ::= blank*\nblank ::= | " "', '`root`'],
  ])('names the rule that begins with itself: %s', (gbnf, name) => {
    expect(refusal(gbnf)).toMatch(/left-recursive/);
    expect(refusal(gbnf)).toContain(name);
  });
});

describe('a grammar that is too large', () => {
  it('is refused by its bytes', () => {
    const padded = (bytes: number) => `root ::= "a" #`.padEnd(bytes, '.');
    expect(readGbnf(padded(GBNF_LIMITS.textBytesMax)).rules).toHaveLength(1);
    expect(refusal(padded(100_000))).toBe('The grammar has 100000 bytes; at most 65536 are read. Shorten it.');
  });

  it('is refused by its depth, however deep', () => {
    const nested = (depth: number) => `root ::= ${'('.repeat(depth)}"a"${')'.repeat(depth)}`;
    expect(readGbnf(nested(GBNF_LIMITS.depthMax)).rules).toHaveLength(GBNF_LIMITS.depthMax + 1);
    expect(refusal(nested(GBNF_LIMITS.depthMax + 1))).toContain('are 65 deep; at most 64 are read');
    expect(refusal(`root ::= ${'('.repeat(60_000)}`)).toContain('are 65 deep; at most 64 are read');
  });

  it('is refused by its rules', () => {
    const rules = (count: number) =>
      Array.from({ length: count }, (_, n) => `${n === 0 ? 'root' : `r${n}`} ::= "a"`).join('\n');
    expect(readGbnf(rules(GBNF_LIMITS.rulesMax)).rules).toHaveLength(GBNF_LIMITS.rulesMax);
    expect(refusal(rules(GBNF_LIMITS.rulesMax + 1))).toContain('more than 2000 rules');
  });

  it('is refused by its elements before they are written out', () => {
    expect(refusal('root ::= "0123456789"{2000} "0123456789"{2000}')).toContain('at most 20000 are possible');
    expect(refusal('root ::= a{2000}{2000}\na ::= "a"')).toContain('comes to 4000000 rules; at most 2000 are possible');
    // A group is a rule of its own, so that only references to it are repeated.
    expect(readGbnf('root ::= (("a"{100}){100}){100}').rules).toHaveLength(3);
  });

  it('is refused by the members of a set that is repeated, each of which llama.cpp stores each time', () => {
    const set = `[${'ab'.repeat(50)}]`;
    expect(readGbnf(`root ::= ${set}{199}`).rules.length).toBeGreaterThan(0);
    expect(() => readGbnf(`root ::= ${set}{201}`)).toThrow('at least 20200 elements; at most 20000 are possible');
  });

  it('is refused by its repetitions', () => {
    expect(readGbnf(`root ::= "a"{0,${GBNF_REPETITIONS_MAX}}`).rules).toHaveLength(GBNF_REPETITIONS_MAX + 1);
    expect(refusal(`root ::= "a"{0,${GBNF_REPETITIONS_MAX + 1}}`)).toContain(
      'asks for 2001; at most 2000 are possible',
    );
    expect(refusal(`root ::= "a"{${'9'.repeat(60_000)}}`)).toContain('at most 2000 are possible');
  });

  it("is refused when llama.cpp's search for left recursion would double with every rule", () => {
    const doubling = Array.from({ length: 60 }, (_, n) => `r${n} ::= r${n + 1} "a" | r${n + 1} "b"`).join('\n');
    expect(refusal(`root ::= r0\n${doubling}\nr60 ::= "c"`)).toContain('can begin with other rules in too many ways');
  });

  it('may be a chain of as many rules as there may be', () => {
    const chain = Array.from({ length: 1_990 }, (_, n) => `r${n} ::= r${n + 1} "a"?`).join('\n');
    expect(readGbnf(`root ::= r0\n${chain}\nr1990 ::= "c"`).rules.length).toBeGreaterThan(1_990);
  });
});
