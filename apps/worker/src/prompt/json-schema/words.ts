import type { Automaton, Move } from './automaton.js';

/** Exactly these texts, as a tree of characters: a thousand words are followed as easily as one. */
export function wordsAutomaton(words: readonly string[]): Automaton {
  const states: { accepts: boolean; next: Map<number, number> }[] = [{ accepts: false, next: new Map() }];
  for (const word of words) {
    let at = 0;
    for (const character of word) {
      const code = character.codePointAt(0)!;
      let to = states[at]!.next.get(code);
      if (to === undefined) {
        to = states.push({ accepts: false, next: new Map() }) - 1;
        states[at]!.next.set(code, to);
      }
      at = to;
    }
    states[at]!.accepts = true;
  }
  return { states: states.map(({ accepts, next }) => ({ accepts, moves: movesOf(next) })) };
}

function movesOf(next: ReadonlyMap<number, number>): Move[] {
  return [...next].map(([code, to]) => ({ first: code, last: code, to })).sort((a, b) => a.first - b.first);
}
