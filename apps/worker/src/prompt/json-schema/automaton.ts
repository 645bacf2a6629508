/**
 * Sets of texts, as deterministic automata over code points: patterns, formats, lengths and ranges of numbers all become
 * one, are combined, and are written as a grammar in which every character decides how to go on.
 */
export interface Automaton {
  /** The first one is the start. Every state is on the way to one that accepts, unless the set is empty. */
  readonly states: readonly State[];
}

export interface State {
  readonly accepts: boolean;
  /** In rising order, apart from each other. */
  readonly moves: readonly Move[];
}

export interface Move {
  readonly first: number;
  readonly last: number;
  readonly to: number;
}

/** What building an automaton may cost. */
export const AUTOMATON_STATES_MAX = 5_000;
/** States of the undetermined automaton: a pattern with its repetitions written out. */
export const PATTERN_STATES_MAX = 20_000;
/** Steps of work for all automata of a schema; some tenths of a second. */
export const AUTOMATON_STEPS_MAX = 1_000_000;

/** Thrown when a limit is reached; whoever knows the keyword makes a sentence of it. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** The work that may still be done. */
export class Budget {
  #steps = 0;

  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > AUTOMATON_STEPS_MAX) throw new TooLarge(`more than ${AUTOMATON_STEPS_MAX} steps to work out`);
  }
}

/** Characters that JSON texts can hold: all but surrogates. */
export const ALL_CHARACTERS: readonly number[] = [0, 0xd7ff, 0xe000, 0x10ffff];

const WORD_RANGES: readonly number[] = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
const OTHER_RANGES = without(ALL_CHARACTERS, WORD_RANGES);

/** What must hold at a place between two characters for a step to be taken there. */
export type Condition = 'start' | 'end' | 'wordBoundary' | 'noWordBoundary';

/** An undetermined automaton under construction. State 0 is the start. */
export class Draft {
  readonly free: { readonly to: number; readonly when: Condition | undefined }[][] = [[]];
  readonly reads: { readonly ranges: readonly number[]; readonly to: number }[][] = [[]];
  usesWords = false;

  add(): number {
    if (this.free.length >= PATTERN_STATES_MAX) throw new TooLarge(`more than ${PATTERN_STATES_MAX} states`);
    this.free.push([]);
    return this.reads.push([]) - 1;
  }

  step(from: number, to: number, when?: Condition): void {
    if (when === 'wordBoundary' || when === 'noWordBoundary') this.usesWords = true;
    this.free[from]!.push({ to, when });
  }

  read(from: number, ranges: readonly number[], to: number): void {
    if (ranges.length > 0) this.reads[from]!.push({ ranges, to });
  }
}

/** The kinds of what stands beside a place: the edge of the text, a letter of `\w`, another character. */
const EDGE = 0;
const WORD = 1;
const OTHER = 2;

/**
 * The deterministic automaton for `draft`, accepting where `end` is reached. `all`, if given, is a state from which
 * everything is accepted: to be there is as good as to be there and elsewhere.
 *
 * The usual construction by sets of states, but for conditions such as `^` and `\b`: they depend on both neighbours, so
 * a set holds what was reached before the conditions are looked at, with the kind of the character just read; they are
 * decided when the next one is known.
 */
export function determine(draft: Draft, end: number, budget: Budget, all?: number): Automaton {
  return new Determination(draft, end, budget, all).run();
}

class Determination {
  readonly #ids = new Map<string, number>();
  readonly #open: { readonly members: readonly number[]; readonly before: number }[] = [];

  constructor(
    private readonly draft: Draft,
    private readonly end: number,
    private readonly budget: Budget,
    private readonly all: number | undefined,
  ) {}

  run(): Automaton {
    const states: State[] = [];
    this.#stateOf([0], EDGE);
    // The list grows while it is gone through.
    for (let at = 0; at < this.#open.length; at++) {
      const { members, before } = this.#open[at]!;
      states.push({
        accepts: this.#closure(members, before, EDGE).includes(this.end),
        moves: this.#moves(members, before),
      });
    }
    return trim({ states });
  }

  #moves(members: readonly number[], before: number): Move[] {
    if (!this.draft.usesWords) return this.#movesOver(members, before, OTHER, undefined);
    const word = this.#movesOver(members, before, WORD, WORD_RANGES);
    const other = this.#movesOver(members, before, OTHER, OTHER_RANGES);
    return [...word, ...other].sort((a, b) => a.first - b.first);
  }

  #movesOver(members: readonly number[], before: number, next: number, only: readonly number[] | undefined): Move[] {
    const targets = new Map<readonly number[], Set<number>>();
    for (const state of this.#closure(members, before, next)) {
      for (const { ranges, to } of this.draft.reads[state]!) {
        this.budget.spend(1);
        const set = targets.get(ranges) ?? new Set();
        targets.set(ranges, set.add(to));
      }
    }
    const pieces = [...targets].map(([ranges, to]) => ({
      ranges: only === undefined ? ranges : both(ranges, only),
      to,
    }));
    return this.#cut(pieces).map(({ first, last, to }) => ({ first, last, to: this.#stateOf(to, next) }));
  }

  /** Cuts ranges that overlap into such that don't, each with all it leads to. */
  #cut(pieces: readonly { readonly ranges: readonly number[]; readonly to: ReadonlySet<number> }[]) {
    const edges: { readonly at: number; readonly piece: number; readonly open: boolean }[] = [];
    for (const [piece, { ranges }] of pieces.entries()) {
      for (let at = 0; at < ranges.length; at += 2) {
        edges.push({ at: ranges[at]!, piece, open: true }, { at: ranges[at + 1]! + 1, piece, open: false });
      }
    }
    edges.sort((a, b) => a.at - b.at);
    const cut: { first: number; last: number; to: number[] }[] = [];
    const active = new Map<number, number>();
    for (const [index, { at, piece, open }] of edges.entries()) {
      const count = (active.get(piece) ?? 0) + (open ? 1 : -1);
      if (count > 0) active.set(piece, count);
      else active.delete(piece);
      const last = (edges[index + 1]?.at ?? at) - 1;
      if (active.size === 0 || last < at) continue;
      const to = new Set<number>();
      for (const index of active.keys()) for (const state of pieces[index]!.to) to.add(state);
      // A move costs more than to find it: it is compared with others, and written.
      this.budget.spend(to.size + 4);
      cut.push({ first: at, last, to: [...to] });
    }
    return cut;
  }

  #closure(members: readonly number[], before: number, next: number): readonly number[] {
    const reached = new Set(members);
    for (const state of reached) {
      this.budget.spend(1);
      for (const { to, when } of this.draft.free[state]!) if (holds(when, before, next)) reached.add(to);
    }
    return this.all !== undefined && reached.has(this.all) ? [this.all, this.end] : [...reached];
  }

  #stateOf(members: readonly number[], before: number): number {
    const kept = this.all !== undefined && members.includes(this.all) ? [this.all] : members.toSorted((a, b) => a - b);
    // The kind matters to conditions only; without `\b` all that counts is whether the text has begun.
    const kind = this.draft.usesWords || before === EDGE ? before : OTHER;
    const key = `${kept.join()}:${kept[0] === this.all ? OTHER : kind}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.#open.length >= AUTOMATON_STATES_MAX) throw new TooLarge(`more than ${AUTOMATON_STATES_MAX} states`);
    this.#ids.set(key, this.#open.length);
    return this.#open.push({ members: kept, before: kind }) - 1;
  }
}

function holds(when: Condition | undefined, before: number, next: number): boolean {
  switch (when) {
    case undefined:
      return true;
    case 'start':
      return before === EDGE;
    case 'end':
      return next === EDGE;
    case 'wordBoundary':
      return (before === WORD) !== (next === WORD);
    case 'noWordBoundary':
      return (before === WORD) === (next === WORD);
  }
}

/** The texts that are in both. */
export function intersect(a: Automaton, b: Automaton, budget: Budget): Automaton {
  const ids = new Map<number, number>();
  const pairs: [number, number][] = [];
  const idOf = (left: number, right: number) => {
    const key = left * b.states.length + right;
    let id = ids.get(key);
    if (id === undefined) {
      if (pairs.length >= AUTOMATON_STATES_MAX) throw new TooLarge(`more than ${AUTOMATON_STATES_MAX} states`);
      id = pairs.push([left, right]) - 1;
      ids.set(key, id);
    }
    return id;
  };
  const states: State[] = [];
  if (a.states.length > 0 && b.states.length > 0) idOf(0, 0);
  for (let at = 0; at < pairs.length; at++) {
    const [left, right] = [a.states[pairs[at]![0]]!, b.states[pairs[at]![1]]!];
    const moves: Move[] = [];
    for (let i = 0, j = 0; i < left.moves.length && j < right.moves.length; ) {
      const [x, y] = [left.moves[i]!, right.moves[j]!];
      const [first, last] = [Math.max(x.first, y.first), Math.min(x.last, y.last)];
      if (first <= last) moves.push({ first, last, to: idOf(x.to, y.to) });
      if (x.last <= y.last) i++;
      if (y.last <= x.last) j++;
    }
    budget.spend(left.moves.length + right.moves.length + 4 * moves.length);
    states.push({ accepts: left.accepts && right.accepts, moves });
  }
  return trim({ states });
}

/** The texts that are not in `automaton`. */
export function complement(automaton: Automaton): Automaton {
  const rest = automaton.states.length;
  const states = automaton.states.map(({ accepts, moves }): State => {
    const taken = moves.flatMap(({ first, last }) => [first, last]);
    const others = ranged(without(ALL_CHARACTERS, taken)).map(([first, last]) => ({ first, last, to: rest }));
    return { accepts: !accepts, moves: [...moves, ...others].sort((a, b) => a.first - b.first) };
  });
  states.push({ accepts: true, moves: ranged(ALL_CHARACTERS).map(([first, last]) => ({ first, last, to: rest })) });
  return trim({ states });
}

/** Texts of `min` to `max` characters; `max` undefined: any number. */
export function lengths(min: number, max: number | undefined): Automaton {
  const count = max ?? min;
  if (count + 1 > AUTOMATON_STATES_MAX) throw new TooLarge(`more than ${AUTOMATON_STATES_MAX} states`);
  const states = Array.from({ length: count + 1 }, (_, length): State => {
    const to = length < count ? length + 1 : length;
    const stops = length === count && max !== undefined;
    return {
      accepts: length >= min,
      moves: stops ? [] : ranged(ALL_CHARACTERS).map(([first, last]) => ({ first, last, to })),
    };
  });
  return trim({ states });
}

/** How long the texts are; `max` is infinite where there is no bound. */
export function lengthsOf({ states }: Automaton): { readonly min: number; readonly max: number } {
  return { min: shortest(states), max: longest(states) };
}

/** Step by step, all states that texts of that length lead to. */
function shortest(states: readonly State[]): number {
  const seen = new Set([0]);
  let now = [0];
  for (let length = 0; now.length > 0; length++) {
    if (now.some((state) => states[state]?.accepts)) return length;
    now = now
      .flatMap((state) => states[state]?.moves.map(({ to }) => to) ?? [])
      .filter((to) => !seen.has(to) && seen.add(to));
  }
  return 0;
}

/** Every state is reached and leads to an end, so a circle anywhere makes texts of any length. */
function longest(states: readonly State[]): number {
  const into = states.map(() => 0);
  for (const { moves } of states) for (const { to } of moves) into[to]!++;
  const lengths = states.map(() => 0);
  const open = into[0] === 0 ? [0] : [];
  for (const state of open) {
    for (const { to } of states[state]!.moves) {
      lengths[to] = Math.max(lengths[to]!, lengths[state]! + 1);
      if (--into[to]! === 0) open.push(to);
    }
  }
  return open.length < states.length ? Number.POSITIVE_INFINITY : Math.max(0, ...lengths);
}

export function accepts(automaton: Automaton, text: string): boolean {
  let state = automaton.states[0];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const move: Move | undefined = state?.moves.find(({ first, last }) => first <= code && code <= last);
    if (move === undefined) return false;
    state = automaton.states[move.to];
  }
  return state?.accepts ?? false;
}

export function isEmpty({ states }: Automaton): boolean {
  return states.length === 0;
}

/** Passes over the states in which equal ones are looked for. */
const MERGE_PASSES_MAX = 12;

/** Without states that lead nowhere, and with equal ones merged. */
function trim(automaton: Automaton): Automaton {
  let states = withoutDeadEnds(automaton.states);
  for (let pass = 0; pass < MERGE_PASSES_MAX; pass++) {
    const merged = mergeEqual(states);
    if (merged.length === states.length) break;
    states = merged;
  }
  return { states };
}

function withoutDeadEnds(states: readonly State[]): State[] {
  const into: number[][] = states.map(() => []);
  for (const [from, { moves }] of states.entries()) for (const { to } of moves) into[to]!.push(from);
  const alive = new Set(states.flatMap((state, id) => (state.accepts ? [id] : [])));
  for (const state of alive) for (const from of into[state]!) alive.add(from);
  if (!alive.has(0)) return [];
  return renumber(states, (id) => (alive.has(id) ? id : undefined));
}

/** From the last to the first: what a state leads to has mostly been merged when it is looked at. */
function mergeEqual(states: readonly State[]): State[] {
  const same = states.map((_, id) => id);
  const known = new Map<string, number>();
  for (let id = states.length - 1; id >= 0; id--) {
    const { accepts, moves } = states[id]!;
    const key = `${accepts}${joined(moves.map((move) => ({ ...move, to: same[move.to]! })))
      .map(({ first, last, to }) => `${first},${last},${to === id ? 'self' : to}`)
      .join(';')}`;
    const equal = known.get(key);
    if (equal === undefined) known.set(key, id);
    else same[id] = equal;
  }
  return renumber(states, (id) => same[id]);
}

/** States reached from the first, numbered anew. `become` says what a state is replaced by; undefined: it goes. */
function renumber(states: readonly State[], become: (id: number) => number | undefined): State[] {
  const order: number[] = [];
  const ids = new Map<number, number>();
  const idOf = (old: number) => {
    let id = ids.get(old);
    if (id === undefined) {
      id = order.push(old) - 1;
      ids.set(old, id);
    }
    return id;
  };
  const renumbered: State[] = [];
  if (states.length === 0) return renumbered;
  idOf(become(0) ?? 0);
  for (let at = 0; at < order.length; at++) {
    const { accepts, moves } = states[order[at]!]!;
    const kept = moves.flatMap(({ first, last, to }) => {
      const target = become(to);
      return target === undefined ? [] : [{ first, last, to: idOf(target) }];
    });
    renumbered.push({ accepts, moves: joined(kept) });
  }
  return renumbered;
}

/** Joins moves side by side that lead to the same state. */
function joined(moves: readonly Move[]): Move[] {
  const joined: Move[] = [];
  for (const move of moves) {
    const before = joined.at(-1);
    if (before !== undefined && before.to === move.to && before.last + 1 === move.first) {
      joined[joined.length - 1] = { ...before, last: move.last };
    } else joined.push(move);
  }
  return joined;
}

/** `ranges` less `taken`; both in rising order. */
export function without(ranges: readonly number[], taken: readonly number[]): number[] {
  const rest: number[] = [];
  let next = 0;
  for (const [first, last] of ranged(taken)) {
    rest.push(...both(ranges, next <= first - 1 ? [next, first - 1] : []));
    next = last + 1;
  }
  return [...rest, ...both(ranges, [next, 0x10ffff])];
}

/** What is in both of two lists of rising ranges. */
export function both(a: readonly number[], b: readonly number[]): number[] {
  const common: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [first, last] = [Math.max(a[i]!, b[j]!), Math.min(a[i + 1]!, b[j + 1]!)];
    if (first <= last) common.push(first, last);
    if (a[i + 1]! <= b[j + 1]!) i += 2;
    else j += 2;
  }
  return common;
}

function ranged(ranges: readonly number[]): [number, number][] {
  return Array.from({ length: ranges.length / 2 }, (_, at) => [ranges[2 * at]!, ranges[2 * at + 1]!]);
}
