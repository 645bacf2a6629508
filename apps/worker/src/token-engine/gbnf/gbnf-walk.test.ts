import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GbnfWalk } from './gbnf-walk.js';
import { readGbnf } from './read-gbnf.js';

const bytes = (text: string) => Buffer.from(text);
const walkOver = (gbnf: string) => new GbnfWalk(readGbnf(gbnf));

describe('a walk over a grammar', () => {
  it('stays where it is when a text does not fit', () => {
    const walk = walkOver('root ::= "abc"');
    expect(walk.accept(bytes('ab'))).toBe(true);
    expect(walk.accept(bytes('cd'))).toBe(false);
    expect(walk.accept(bytes('c'))).toBe(true);
    expect(walk.complete).toBe(true);
    expect(walk.mayFollow(bytes('d'))).toBe(false);
  });

  it('is complete where the grammar may end, though it may go on', () => {
    const walk = walkOver('root ::= "a"+');
    expect(walk.complete).toBe(false);
    walk.accept(bytes('a'));
    expect(walk.complete).toBe(true);
    expect(walk.mayFollow(bytes('a'))).toBe(true);
  });

  it('goes two ways from a clone', () => {
    const walk = walkOver('root ::= "a" ("b" | "c")');
    walk.accept(bytes('a'));
    const clone = walk.clone();
    expect(walk.accept(bytes('b'))).toBe(true);
    expect(clone.complete).toBe(false);
    expect(clone.accept(bytes('c'))).toBe(true);
  });

  it('follows a character through its bytes', () => {
    const walk = walkOver('root ::= [ä-ö]');
    const [first, second] = bytes('ä');
    expect(walk.accept(Uint8Array.of(first!))).toBe(true);
    expect(walk.complete).toBe(false);
    expect(walk.mayFollow(bytes('a'))).toBe(false);
    expect(walk.accept(Uint8Array.of(second!))).toBe(true);
    expect(walk.complete).toBe(true);
  });

  it('refuses the first byte of a character that cannot be meant', () => {
    expect(walkOver('root ::= [a-z]').mayFollow(Uint8Array.of(0xc3))).toBe(false);
    expect(walkOver('root ::= [ā]').mayFollow(Uint8Array.of(0xc3))).toBe(false);
    expect(walkOver('root ::= [^é]').mayFollow(Uint8Array.of(0xc3))).toBe(true);
    expect(walkOver('root ::= [^é]').mayFollow(bytes('é'))).toBe(false);
  });

  it.each([
    ['a byte that continues nothing', [0x80]],
    ['a form that is too long', [0xc0, 0xaf]],
    ['three bytes for two', [0xe0, 0x80]],
    ['a surrogate', [0xed, 0xa0]],
    ['a code point past the last', [0xf4, 0x90]],
    ['a byte that UTF-8 never has', [0xff]],
    ['a character cut short by another', [0xc3, 0x41]],
  ])('takes no invalid UTF-8 for a character: %s', (_, invalid) => {
    expect(walkOver('root ::= .*').mayFollow(Uint8Array.from(invalid))).toBe(false);
  });

  it('does the same however the text is cut into pieces', () => {
    const grammar = readGbnf('root ::= item ("," item)*\nitem ::= [a-c]{1,3} | [à-é]+ | "😀" item');
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ',', 'é', '😀', 'z', 'ê'), maxLength: 12 });
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 }), (whole, sizes) => {
        const atOnce = new GbnfWalk(grammar);
        const inPieces = new GbnfWalk(grammar);
        const all = bytes(whole);
        let at = 0;
        let fits = true;
        for (const size of [...sizes, all.length]) {
          fits &&= inPieces.accept(all.subarray(at, at + size));
          at += size;
        }
        expect(fits).toBe(atOnce.accept(all));
        if (fits) expect(inPieces.complete).toBe(atOnce.complete);
      }),
    );
  });

  it('follows a long text, deep inside, without growing', () => {
    const walk = walkOver('root ::= list\nlist ::= "[" (item ("," item)*)? "]"\nitem ::= list | [0-9]+');
    expect(walk.accept(bytes('['.repeat(30_000)))).toBe(true);
    for (let n = 0; n < 3_000; n++) expect(walk.accept(bytes('1234,[5,6,[7]],'))).toBe(true);
    expect(walk.accept(bytes(`8${']'.repeat(30_000)}`))).toBe(true);
    expect(walk.complete).toBe(true);
  });

  it('gives up on a text that can be read in too many ways', () => {
    const walk = walkOver('root ::= "x" root "a" | "x" root "b" | "x"');
    expect(() => walk.accept(bytes('x'.repeat(100)))).toThrow(/too ambiguous.*more than 500 ways/);
    expect(() => walkOver(`root ::= ${'"a"? '.repeat(600)}`)).toThrow(/too ambiguous/);
  });
});
