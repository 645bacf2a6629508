import { type AST, RegExpParser } from '@eslint-community/regexpp';
import { JS } from 'refa';
import { ALL_CHARACTERS, type Automaton, Budget, both, complement, Draft, determine, intersect } from './automaton.js';

/** UTF-16 units of a pattern. */
export const PATTERN_LENGTH_MAX = 4_096;
/** Parentheses within parentheses of a pattern. */
export const PATTERN_DEPTH_MAX = 64;

/** A pattern that is no regular expression, or no regular set. The message is the rest of a sentence. */
export class UnusablePattern extends Error {
  override readonly name = 'UnusablePattern';
}

const FLAGS = { unicode: true } as const;

/**
 * The texts in which `pattern` is found somewhere, by ECMAScript's rules with the flag `u`, as JSON Schema wants it.
 *
 * Read by the regular expression parser that ESLint uses; the sets of characters, Unicode's properties among them,
 * come from refa. References back are no regular sets, and looking ahead only is where it restricts the whole text: right
 * after `^`.
 *
 * @throws UnusablePattern, TooLarge
 */
export function patternAutomaton(pattern: string, budget: Budget = new Budget()): Automaton {
  if (pattern.length > PATTERN_LENGTH_MAX) {
    throw new UnusablePattern(`has ${pattern.length} characters; at most ${PATTERN_LENGTH_MAX} are read`);
  }
  checkDepth(pattern);
  const { alternatives } = parse(pattern);
  const [only, ...others] = alternatives;
  if (others.length > 0 || !isStart(only?.elements[0])) return found(alternatives, budget);
  const rest = only!.elements.slice(1);
  const looks = rest.slice(0, rest.findIndex((element) => !isLook(element)) >>> 0).filter(isLook);
  // `^(?=A)(?!B)C` is what begins with A, doesn't begin with B, and is C.
  const whole = found([{ elements: [only!.elements[0]!, ...rest.slice(looks.length)] }], budget);
  return looks.reduce((narrowed, { alternatives, negate }) => {
    const group = { type: 'Group', alternatives } as unknown as AST.Element;
    const ahead = found([{ elements: [only!.elements[0]!, group] }], budget);
    return intersect(narrowed, negate ? complement(ahead) : ahead, budget);
  }, whole);
}

function parse(pattern: string): AST.Pattern {
  try {
    return new RegExpParser({ ecmaVersion: 2025 }).parsePattern(pattern, 0, pattern.length, FLAGS);
  } catch (error) {
    throw new UnusablePattern(`is no regular expression (${(error as Error).message.replace(/^.*\/u?: /s, '')})`);
  }
}

/** Before the parser, which calls itself for every parenthesis. */
function checkDepth(pattern: string): void {
  let depth = 0;
  let inSet = false;
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === '\\') at++;
    else if (inSet) inSet = character !== ']';
    else if (character === '[') inSet = true;
    else if (character === ')') depth--;
    else if (character === '(' && ++depth > PATTERN_DEPTH_MAX) {
      throw new UnusablePattern(`has parentheses ${depth} deep; at most ${PATTERN_DEPTH_MAX} are read`);
    }
  }
}

type Alternatives = readonly { readonly elements: readonly AST.Element[] }[];

/** All texts that hold a match: anything, a match, anything. */
function found(alternatives: Alternatives, budget: Budget): Automaton {
  const draft = new Draft();
  draft.read(0, ALL_CHARACTERS, 0);
  const begin = draft.add();
  draft.step(0, begin);
  const end = addAlternatives(draft, begin, alternatives);
  const all = draft.add();
  draft.step(end, all);
  draft.read(all, ALL_CHARACTERS, all);
  return determine(draft, all, budget, all);
}

/** Adds what is read from state `from` on, and gives the state at its end. */
function addAlternatives(draft: Draft, from: number, alternatives: Alternatives): number {
  const end = draft.add();
  for (const { elements } of alternatives) {
    let at = from;
    for (const element of elements) at = addElement(draft, at, element);
    draft.step(at, end);
  }
  return end;
}

function addElement(draft: Draft, from: number, element: AST.Element): number {
  switch (element.type) {
    case 'Character':
    case 'CharacterSet':
    case 'CharacterClass': {
      const to = draft.add();
      draft.read(from, rangesOf(element), to);
      return to;
    }
    case 'Group':
      if ('modifiers' in element && element.modifiers)
        throw new UnusablePattern('has flags within (`(?i:…)`), which are not supported');
      return addAlternatives(draft, from, element.alternatives);
    case 'CapturingGroup':
      return addAlternatives(draft, from, element.alternatives);
    case 'Quantifier':
      return addQuantifier(draft, from, element);
    case 'Assertion':
      return addAssertion(draft, from, element);
    case 'Backreference':
      throw new UnusablePattern(`refers back (\`${element.raw}\`), which no grammar can`);
    default:
      throw new UnusablePattern(`has \`${element.raw}\`, which is not supported`);
  }
}

function addQuantifier(draft: Draft, from: number, { element, min, max }: AST.Quantifier): number {
  let at = from;
  for (let times = 0; times < min; times++) at = addElement(draft, at, element);
  if (max === Number.POSITIVE_INFINITY) {
    const loop = draft.add();
    draft.step(at, loop);
    draft.step(addElement(draft, loop, element), loop);
    return loop;
  }
  const end = draft.add();
  draft.step(at, end);
  for (let times = min; times < max; times++) {
    at = addElement(draft, at, element);
    draft.step(at, end);
  }
  return end;
}

function addAssertion(draft: Draft, from: number, assertion: AST.Assertion): number {
  const to = draft.add();
  switch (assertion.kind) {
    case 'start':
    case 'end':
      draft.step(from, to, assertion.kind);
      return to;
    case 'word':
      draft.step(from, to, assertion.negate ? 'noWordBoundary' : 'wordBoundary');
      return to;
    case 'lookahead':
      throw new UnusablePattern(
        `looks ahead (\`${assertion.raw.slice(0, 40)}\`) elsewhere than right after a leading \`^\``,
      );
    case 'lookbehind':
      throw new UnusablePattern(`looks behind (\`${assertion.raw.slice(0, 40)}\`), which is not supported`);
  }
}

/** The same list for the same set, so that what a repetition wrote out many times is looked at once. */
const knownRanges = new WeakMap<AST.Element, readonly number[]>();

function rangesOf(element: AST.Character | AST.CharacterSet | AST.CharacterClass): readonly number[] {
  let ranges = knownRanges.get(element);
  if (ranges === undefined) {
    const set = JS.parseCharSet(element as Parameters<typeof JS.parseCharSet>[0], { unicode: true });
    ranges = both(
      set.ranges.flatMap(({ min, max }) => [min, max]),
      ALL_CHARACTERS,
    );
    knownRanges.set(element, ranges);
  }
  return ranges;
}

function isStart(element: AST.Element | undefined): boolean {
  return element?.type === 'Assertion' && element.kind === 'start';
}

function isLook(element: AST.Element): element is AST.LookaheadAssertion {
  return element.type === 'Assertion' && element.kind === 'lookahead';
}

/** Patterns of our own, which are never refused. */
const ours = new Map<string, Automaton>();

/** All texts that match `pattern` as a whole; remembered, so for constant patterns only. */
export function constantAutomaton(pattern: string): Automaton {
  let automaton = ours.get(pattern);
  if (automaton === undefined) {
    automaton = wholeAutomaton(pattern);
    ours.set(pattern, automaton);
  }
  return automaton;
}

/** All texts that match `pattern` as a whole. */
export function wholeAutomaton(pattern: string, budget: Budget = new Budget()): Automaton {
  return patternAutomaton(`^(?:${pattern})$`, budget);
}
