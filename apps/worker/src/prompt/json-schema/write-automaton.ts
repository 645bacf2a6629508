import { MEMBERS_MAX } from '../../token-engine/gbnf/gbnf-walk.js';
import { type Automaton, both, type Move, TooLarge } from './automaton.js';
import { type GrammarBuilder, type Item, once, type Rule, set } from './grammar-builder.js';

/** Characters that stand for themselves in a JSON string. Surrogates are none. */
export const PLAIN_CHARACTERS: readonly number[] = [0x20, 0x21, 0x23, 0x5b, 0x5d, 0xd7ff, 0xe000, 0x10ffff];

/** Characters with an escape of one letter, and that letter. */
const SHORT_ESCAPES: readonly (readonly [number, string])[] = [
  [0x22, '\\x22'],
  [0x5c, '\\x5c'],
  [0x08, 'b'],
  [0x0c, 'f'],
  [0x0a, 'n'],
  [0x0d, 'r'],
  [0x09, 't'],
];
/** The other control characters, by the first of their last two hexadecimal digits. */
const LONG_ESCAPES: readonly (readonly [string, readonly number[]])[] = [
  ['0', [0x00, 0x07, 0x0b, 0x0b, 0x0e, 0x0f]],
  ['1', [0x10, 0x1f]],
];

/**
 * JSON strings whose contents `automaton` accepts, one rule for each state. Each text has one spelling, the one of
 * `JSON.stringify`: only what must be escaped is.
 */
export function writeStrings(builder: GrammarBuilder, automaton: Automaton): Rule {
  const inside = writeStates(builder, automaton, (moves, ruleOf) => stringMoves(builder, moves, ruleOf), '"\\""');
  return builder.add([['"\\""', once(inside)]]);
}

/** The texts that `automaton` accepts, as they stand. */
export function writeTexts(builder: GrammarBuilder, automaton: Automaton): Rule {
  return writeStates(builder, automaton, plainMoves, undefined);
}

type WriteMoves = (moves: readonly Move[], ruleOf: (state: number) => Rule) => Item[][];

function writeStates(builder: GrammarBuilder, { states }: Automaton, write: WriteMoves, end: string | undefined): Rule {
  const rules = states.map(() => builder.add());
  for (const [id, { accepts, moves }] of states.entries()) {
    // Half of them, since a place in a text may be in two such strings.
    if (2 * moves.length > MEMBERS_MAX) {
      throw new TooLarge(`more than ${MEMBERS_MAX / 2} ranges of characters at one place of the text`);
    }
    const alternatives = write(moves, (state) => rules[state]!);
    if (accepts) alternatives.push(end === undefined ? [] : [end]);
    builder.define(rules[id]!, alternatives);
  }
  return rules[0] ?? builder.add();
}

/** Ranges by the state they lead to. */
function byTarget(moves: readonly Move[]): Map<number, number[]> {
  const targets = new Map<number, number[]>();
  for (const { first, last, to } of moves) {
    const ranges = targets.get(to) ?? [];
    ranges.push(first, last);
    targets.set(to, ranges);
  }
  return targets;
}

function plainMoves(moves: readonly Move[], ruleOf: (state: number) => Rule): Item[][] {
  return [...byTarget(moves)].flatMap(([to, ranges]) => parts(ranges).map((part) => [set(part), once(ruleOf(to))]));
}

/** Sets of fewer ranges than this are written in one. */
const LARGE_SET = 32;

/**
 * A large set in two: llama.cpp compares each character of each token with all ranges of a set, and `\p{L}` has 650. Most
 * tokens are ASCII; those are done with what has a few ranges. It tries the last alternative first.
 */
function parts(ranges: readonly number[]): readonly (readonly number[])[] {
  const all = ranges.length < 2 * LARGE_SET ? [ranges] : [both(ranges, BEYOND_ASCII), both(ranges, ASCII)];
  return all.filter(({ length }) => length > 0);
}

const ASCII: readonly number[] = [0, 0x7f];
const BEYOND_ASCII: readonly number[] = [0x80, 0x10ffff];

function stringMoves(builder: GrammarBuilder, moves: readonly Move[], ruleOf: (state: number) => Rule): Item[][] {
  const alternatives: Item[][] = [];
  const escapes: Item[][] = [];
  for (const [to, ranges] of byTarget(moves)) {
    const plain = both(ranges, PLAIN_CHARACTERS);
    for (const part of parts(plain)) alternatives.push([set(part), once(ruleOf(to))]);
    const short = SHORT_ESCAPES.filter(([code]) => both(ranges, [code, code]).length > 0).map(([, letter]) => letter);
    if (short.length > 0) escapes.push([`[${short.join('')}]`, once(ruleOf(to))]);
    const long = LONG_ESCAPES.flatMap(([digit, codes]) => {
      const digits = both(ranges, codes).map((code) => code & 0xf);
      return digits.length > 0 ? [`"${digit}" ${hexDigits(digits)}`] : [];
    });
    if (long.length > 0) escapes.push(['"u00"', `(${long.join(' | ')})`, once(ruleOf(to))]);
  }
  if (escapes.length > 0) alternatives.push(['"\\\\"', once(builder.add(escapes))]);
  return alternatives;
}

function hexDigits(ranges: readonly number[]): string {
  let digits = '';
  for (let at = 0; at < ranges.length; at += 2) {
    for (let digit = ranges[at]!; digit <= ranges[at + 1]!; digit++) digits += digit.toString(16);
  }
  return `[${digits}]`;
}
