import { GBNF_LIMITS, type Gbnf, type GbnfRule } from './gbnf.js';
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
/** Work that is spent on trying, half of it from the beginning, the rest from other rules in equal parts; about a second. */
export const TRIED_STEPS_MAX = 1_500_000;

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
 * Whether a grammar is ambiguous can't be decided, so this tries texts, from the beginning of every rule, since what
 * explodes may hide behind anything. A few texts at a time grow by the characters that lead to the most places; then by
 * those that can be read in the most ways; then by single characters over and over. It is not a proof: whoever follows a
 * text with a `GbnfWalk` beside the engine has the proof for that text.
 *
 * @param from the rules to begin with, besides `root`.
 * @param tokenCharactersMax how long the texts are whose ways are counted
 * @param stepsMax work to spend; `TRIED_STEPS_MAX` is about a second
 */
export function checkAmbiguity(
  gbnf: Gbnf,
  param = 'grammar',
  // The rules of a written-out repetition hold nothing that the rule they stand in doesn't hold.
  from: (rule: GbnfRule) => boolean = ({ named }) => named,
  tokenCharactersMax = TOKEN_CHARACTERS_MAX,
  stepsMax = TRIED_STEPS_MAX,
): void {
  const trial = new Trial(gbnf, param, tokenCharactersMax);
  trial.from(gbnf.root, stepsMax / 2);
  const others = [...gbnf.rules.keys()].filter((rule) => rule !== gbnf.root && from(gbnf.rules[rule]!));
  for (const rule of others) trial.from(rule, stepsMax / 2 / others.length);
}

/** Stacks, each with the number of ways that lead to it. */
type Ways = ReadonlyMap<Stack, number>;

class Trial {
  readonly #table: StackTable;
  #stepsLeft = 0;
  /** Sets of stacks that a text was gone on from. */
  readonly #seen = new Set<number>();

  constructor(
    gbnf: Gbnf,
    private readonly param: string,
    private readonly tokenCharactersMax: number,
  ) {
    this.#table = new StackTable(positionsOf(gbnf));
  }

  /** Ends when nothing new is found, or `steps` are spent. */
  from(rule: number, steps: number): void {
    this.#stepsLeft = steps;
    const begin: Ways = new Map(this.#table.begin(rule).map((stack) => [stack, 1]));
    this.#tryGreedily(begin, this.tokenCharactersMax, true);
    for (const character of this.#characters(begin)) this.#tryRun(begin, character);
    this.#tryGreedily(begin, TRIED_CHARACTERS_MAX, false);
  }

  /** Grows a few texts by the characters that lead to the most: to the most ways if `ways`, else to the most stacks. */
  #tryGreedily(begin: Ways, charactersMax: number, ways: boolean): void {
    let texts: Ways[] = [begin];
    for (let at = 0; at < charactersMax && texts.length > 0 && this.#stepsLeft > 0; at++) {
      const longer = texts.flatMap((now) =>
        this.#most(now, ways).map((character) => {
          const next = this.#read(now, character, ways ? at + 1 : undefined);
          if (ways && next.size > 1 && at === 0) this.#tryRun(next, character);
          return next;
        }),
      );
      texts = this.#largest(longer, ways);
    }
  }

  /** The largest few; of those that stand at the same stacks only one, and none that were gone on from before. */
  #largest(texts: readonly Ways[], ways: boolean): Ways[] {
    const fresh = new Map<number, Ways>();
    for (const text of texts) {
      let mark = 0;
      for (const { id } of text.keys()) mark ^= scrambled(id);
      if (!ways && this.#seen.has(mark)) continue;
      if (!ways) this.#seen.add(mark);
      if (!fresh.has(mark) || total(text) > total(fresh.get(mark)!)) fresh.set(mark, text);
    }
    const size = ways ? total : (text: Ways) => text.size;
    return [...fresh.values()].sort((a, b) => size(b) - size(a)).slice(0, TEXTS_MAX);
  }

  #tryRun(begin: Ways, character: number): void {
    let now = begin;
    for (let at = 0; at < TRIED_CHARACTERS_MAX && now.size > 0 && this.#stepsLeft > 0; at++) {
      now = this.#read(now, character, at + 1);
    }
  }

  /** With `characters`, the length of the text so far, the ways to read it are bounded too. */
  #read(now: Ways, character: number, characters?: number): Ways {
    const next = new Map<Stack, number>();
    let sum = 0;
    for (const [stack, ways] of now) {
      const follows = this.#table.read([stack], character);
      this.#stepsLeft -= 1 + follows.length;
      if (follows.length > 0) sum += ways;
      for (const after of follows) next.set(after, (next.get(after) ?? 0) + ways);
    }
    if (next.size > STACKS_MAX) throw tooAmbiguous(`can be continued in more than ${STACKS_MAX} ways`, this.param);
    if (characters !== undefined && sum > WAYS_MAX) {
      throw tooAmbiguous(`of ${characters} characters can be read in more than ${WAYS_MAX} ways`, this.param);
    }
    return next;
  }

  /** The characters for which most follows, found by walking over the ends of all ranges in order. */
  #most(now: Ways, ways: boolean): number[] {
    const changes: { readonly at: number; readonly by: number; readonly mark: number }[] = [];
    for (const [stack, count] of now) {
      const by = this.#table.after(stack).length * (ways ? count : 1);
      const mark = scrambled(stack.id);
      const ranges = stack.position?.characters?.ranges ?? [];
      for (let at = 0; at < ranges.length; at += 2) {
        changes.push({ at: ranges[at]!, by, mark }, { at: ranges[at + 1]! + 1, by: -by, mark });
      }
      this.#stepsLeft -= ranges.length;
    }
    changes.sort((a, b) => a.at - b.at);
    // Characters that the same stacks read are all the same: the first stands for them.
    const found = new Map<number, { readonly character: number; readonly sum: number }>();
    let [sum, mark] = [0, 0];
    for (const [index, change] of changes.entries()) {
      sum += change.by;
      mark ^= change.mark;
      if (changes[index + 1]?.at === change.at || sum <= 0 || found.has(mark)) continue;
      found.set(mark, { character: change.at, sum });
    }
    const best = [...found.values()].sort((a, b) => b.sum - a.sum).slice(0, CHARACTERS_MAX);
    return best.map(({ character }) => character);
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
}

/** Characters that are tried in a run from the beginning of a rule. */
const RUNS_MAX = 16;
/** Texts that grow side by side: with one alone, the first character of two that seem as good would decide. */
const TEXTS_MAX = 4;
/** Characters by which each of them is tried to grow. */
const CHARACTERS_MAX = 4;

function total(text: Ways): number {
  let sum = 0;
  for (const ways of text.values()) sum += ways;
  return sum;
}

/** Spreads ids over 32 bits, so that a set of them is known by its exclusive or. */
function scrambled(id: number): number {
  const mixed = Math.imul(id + 1, 0x9e3779b1);
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
}
