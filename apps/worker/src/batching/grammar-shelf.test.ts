import { describe, expect, it } from 'vitest';
import type { Grammar } from '../token-engine/token-engine.js';
import { GrammarShelf } from './grammar-shelf.js';

function openShelf() {
  const opened: string[] = [];
  const openGrammar = (gbnf: string, spelled: readonly number[] = []) => {
    opened.push(`${spelled} ${gbnf}`);
    return {} as Grammar;
  };
  return { shelf: new GrammarShelf({ openGrammar }, [7]), opened };
}

describe('GrammarShelf', () => {
  it('reads a grammar once, however often it is asked for, with the control tokens that it knows', () => {
    const { shelf, opened } = openShelf();
    expect(shelf.open('root ::= "a"')).toBe(shelf.open('root ::= "a"'));
    expect(opened).toEqual(['7 root ::= "a"']);
  });

  it('forgets those that were not used for longest when they become too large', () => {
    const { shelf, opened } = openShelf();
    const grammars = Array.from({ length: 12 }, (_, index) => `root ::= "${index}${'x'.repeat(100_000)}"`);
    for (const grammar of grammars) {
      shelf.open(grammar);
      shelf.open(grammars[0]!);
    }
    expect(opened).toHaveLength(12);
    shelf.open(grammars.at(-1)!);
    shelf.open(grammars[0]!);
    expect(opened).toHaveLength(12);
    shelf.open(grammars[1]!);
    expect(opened).toHaveLength(13);
  });

  it('forgets the oldest when there are too many', () => {
    const { shelf, opened } = openShelf();
    for (let index = 0; index < 33; index++) shelf.open(`root ::= "${index}"`);
    shelf.open('root ::= "1"');
    expect(opened).toHaveLength(33);
    shelf.open('root ::= "0"');
    expect(opened).toHaveLength(34);
  });
});
