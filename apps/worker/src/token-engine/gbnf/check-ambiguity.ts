import { InferenceError } from '@millrace/contracts';
import { GBNF_LIMITS, type Gbnf } from './gbnf.js';
import { positionsOf, STACKS_MAX, type Stack, StackTable, tooAmbiguous } from './gbnf-walk.js';
import { readGbnf } from './read-gbnf.js';

/** Characters of the texts that are tried for growing ambiguity. */
export const TRIED_CHARACTERS_MAX = 128;
/**
 * Ways in which one token may be read. To rule a token out, llama.cpp goes through them all, also through those that
 * lead to the same place.
 */
export const WAYS_MAX = 20_000;
/** Characters of an ordinary long token. Longer ones repeat a single character: 128 blanks, say. */
export const TOKEN_CHARACTERS_MAX = 24;
/** Work after which a grammar counts as too large to be tried; about a second. */
export const TRIED_STEPS_MAX = 4_000_000;

/** Reads a grammar that a caller sent, and refuses what would keep the engine busy. */
export function checkGrammar(text: string, param = 'grammar'): Gbnf {
  const gbnf = readGbnf(text, GBNF_LIMITS, param);
  checkAmbiguity(gbnf, param);
  return gbnf;
}

/**
 * Refuses grammars in which the ways to read a text grow without end, as with `e ::= "x" e "a" | "x" e "b" | "x"`,
 * where each `x` doubles them.
 *
 * Whether a grammar is ambiguous can't be decided, so this tries texts. From the beginning of every rule, since what
 * explodes may hide behind anything, it takes the character that leads to the most places, again and again; then the one
 * that can be read in the most ways; then single characters over and over. It is not a proof: whoever follows
 * a text with a `GbnfWalk` beside the engine has the proof for that text.
 */
export function checkAmbiguity(gbnf: Gbnf, param = 'grammar'): void {
  const trial = new Trial(gbnf, param);
  trial.from(gbnf.root);
  for (const [index, rule] of gbnf.rules.entries()) {
    // The rules of a written-out repetition hold nothing that the rule they stand in doesn't hold.
    if (rule.named && index !== gbnf.root) trial.from(index);
  }
}

/** Stacks, each with the number of ways that lead to it. */
type Ways = ReadonlyMap<Stack, number>;

class Trial {
  readonly #table: StackTable;
  #steps = 0;

  constructor(
    gbnf: Gbnf,
    private readonly param: string,
  ) {
    this.#table = new StackTable(positionsOf(gbnf));
  }

  from(rule: number): void {
    const begin: Ways = new Map(this.#table.begin(rule).map((stack) => [stack, 1]));
    this.#tryGreedily(begin, TRIED_CHARACTERS_MAX, false);
    this.#tryGreedily(begin, TOKEN_CHARACTERS_MAX, true);
    for (const character of this.#characters(begin)) this.#tryRun(begin, character);
  }

  /** Always takes the character that leads to the most: ways if `ways`, else stacks. */
  #tryGreedily(begin: Ways, charactersMax: number, ways: boolean): void {
    let now = begin;
    for (let at = 0; at < charactersMax; at++) {
      const character = this.#most(now, ways);
      if (character === undefined) return;
      now = this.#read(now, character, ways ? at + 1 : undefined);
      if (ways && now.size > 1) this.#tryRun(now, character);
    }
  }

  #tryRun(begin: Ways, character: number): void {
    let now = begin;
    for (let at = 0; at < TRIED_CHARACTERS_MAX && now.size > 0; at++) now = this.#read(now, character, at + 1);
  }

  /** With `characters`, the length of the text so far, the ways to read it are bounded too. */
  #read(now: Ways, character: number, characters?: number): Ways {
    const next = new Map<Stack, number>();
    let sum = 0;
    for (const [stack, ways] of now) {
      const follows = this.#table.read([stack], character);
      this.#work(1 + follows.length);
      if (follows.length > 0) sum += ways;
      for (const after of follows) next.set(after, (next.get(after) ?? 0) + ways);
    }
    if (next.size > STACKS_MAX) throw tooAmbiguous(`can be continued in more than ${STACKS_MAX} ways`, this.param);
    if (characters !== undefined && sum > WAYS_MAX) {
      throw tooAmbiguous(`of ${characters} characters can be read in more than ${WAYS_MAX} ways`, this.param);
    }
    return next;
  }

  /** The character for which most follows, found by walking over the ends of all ranges in order. */
  #most(now: Ways, ways: boolean): number | undefined {
    const changes: { readonly at: number; readonly by: number }[] = [];
    for (const [stack, count] of now) {
      const follows = this.#table.after(stack).length * (ways ? count : 1);
      const ranges = stack.position?.characters?.ranges ?? [];
      for (let at = 0; at < ranges.length; at += 2) {
        changes.push({ at: ranges[at]!, by: follows }, { at: ranges[at + 1]! + 1, by: -follows });
      }
      this.#work(ranges.length);
    }
    changes.sort((a, b) => a.at - b.at || a.by - b.by);
    let best: number | undefined;
    let most = 0;
    let sum = 0;
    for (const { at, by } of changes) {
      sum += by;
      if (sum > most) [best, most] = [at, sum];
    }
    return best;
  }

  /** A character out of each range that may come first. */
  #characters(now: Ways): Set<number> {
    const characters = new Set<number>();
    for (const stack of now.keys()) {
      const ranges = stack.position?.characters?.ranges ?? [];
      for (let at = 0; at < ranges.length && characters.size < RUNS_MAX; at += 2) characters.add(ranges[at]!);
    }
    return characters;
  }

  #work(steps: number): void {
    this.#steps += steps;
    if (this.#steps <= TRIED_STEPS_MAX) return;
    throw new InferenceError(
      'invalid_request',
      `The grammar is too large to be checked for ambiguity within ${TRIED_STEPS_MAX} steps. Use fewer rules, or smaller sets of characters.`,
      { param: this.param },
    );
  }
}

/** Characters that are tried in a run from the beginning of a rule. */
const RUNS_MAX = 16;
