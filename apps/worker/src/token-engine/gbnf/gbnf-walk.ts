import { InferenceError } from '@millrace/contracts';
import { CODE_POINT_MAX, type Gbnf, type GbnfCharacters, type GbnfElement } from './gbnf.js';

/**
 * How many places in the grammar a text may lead to at once. Ordinary grammars have a few dozen; llama.cpp compares
 * each with each, and none of its steps can be interrupted.
 */
export const STACKS_MAX = 500;
/** How many it may pass on its way there without reading a character. */
export const STACKS_PASSED_MAX = 5_000;
/**
 * With how many characters and ranges the next character may be compared at once: to rule out 128,000 tokens, llama.cpp
 * takes about half a second for this many.
 */
export const MEMBERS_MAX = 4_000;
/** Stacks remembered before those that are out of use are forgotten, unless more than half of them are in use. */
const STACKS_KEPT = 20_000;

/**
 * Follows a text through a grammar, byte by byte: a token may be a part of a character, so a text may end within one.
 *
 * What is still to come is a stack of positions in rules, the next one on top. An ambiguous grammar leads to several
 * stacks at once, and this keeps them all, each once. A stack is a chain of nodes that share their lower parts, and two
 * equal stacks are the same node: comparing costs nothing, and what may follow a node is worked out once.
 */
export class GbnfWalk {
  readonly #gbnf: Gbnf;
  #table: StackTable;
  #stacks: readonly Stack[];
  /** The character that has begun, if any. */
  #begun: Begun | undefined;
  #forgetAt = STACKS_KEPT;

  /**
   * Stands where `from` stands, or else at the beginning of `gbnf`.
   *
   * @throws InferenceError `invalid_request` when the grammar begins in more than `STACKS_MAX` ways; so do `accept` and
   *   `mayFollow` when a text can be read in more.
   */
  constructor(gbnf: Gbnf, from?: GbnfWalk) {
    this.#gbnf = gbnf;
    this.#table = from === undefined ? new StackTable(positionsOf(gbnf)) : from.#table;
    this.#stacks = from === undefined ? this.#table.begin(gbnf.root) : from.#stacks;
    this.#begun = from === undefined ? undefined : from.#begun;
  }

  /** Another walk that stands where this one stands. */
  clone(): GbnfWalk {
    return new GbnfWalk(this.#gbnf, this);
  }

  /** Whether the text so far is one that the grammar derives. */
  get complete(): boolean {
    return this.#begun === undefined && isComplete(this.#stacks);
  }

  /** How many places in the grammar the text so far leads to. */
  get stacks(): number {
    return this.#stacks.length;
  }

  /** Goes on by `bytes`. False, and nothing changes, when no text of the grammar goes on so. */
  accept(bytes: Uint8Array): boolean {
    const next = this.#follow(bytes);
    if (next === undefined) return false;
    this.#stacks = next.stacks;
    this.#begun = next.begun;
    if (this.#table.size > this.#forgetAt) this.#forget();
    return true;
  }

  /** Whether some text of the grammar goes on by `bytes`. */
  mayFollow(bytes: Uint8Array): boolean {
    return this.#follow(bytes) !== undefined;
  }

  /** Whether the text so far is, with `bytes` behind it, one that the grammar derives. */
  completes(bytes: Uint8Array): boolean {
    const next = this.#follow(bytes);
    return next !== undefined && next.begun === undefined && isComplete(next.stacks);
  }

  #follow(bytes: Uint8Array): { stacks: readonly Stack[]; begun: Begun | undefined } | undefined {
    let stacks = this.#stacks;
    let begun = this.#begun;
    for (const byte of bytes) {
      begun = begun === undefined ? beginCharacter(byte) : goOn(begun, byte);
      if (begun === undefined) return undefined;
      if (begun.missing > 0) continue;
      stacks = this.#table.read(stacks, begun.from);
      begun = undefined;
      if (stacks.length === 0) return undefined;
    }
    if (begun !== undefined && !mayEnd(stacks, begun)) return undefined;
    return { stacks, begun };
  }

  /** Copies what is in use into a new table, so that a long text doesn't keep every stack it ever had. */
  #forget(): void {
    const table = new StackTable(this.#table.positions);
    const copies = new Map<Stack, Stack>();
    this.#stacks = this.#stacks.map((stack) => table.copy(stack, copies));
    this.#table = table;
    this.#forgetAt = Math.max(STACKS_KEPT, 2 * table.size);
  }
}

/** Positions of all rules: where each alternative of a rule begins. Undefined: the alternative is empty. */
export interface Positions {
  readonly starts: readonly (readonly (Position | undefined)[])[];
}

/** A position before an element of an alternative. */
interface Position {
  readonly id: number;
  /** The rule to be derived here, or undefined where `characters` are to be read. */
  readonly rule: number | undefined;
  readonly characters: GbnfCharacters | undefined;
  /** Undefined at the end of the alternative. */
  readonly next: Position | undefined;
}

const known = new WeakMap<Gbnf, Positions>();

/** The positions of a grammar, worked out once for all walks over it. */
export function positionsOf(gbnf: Gbnf): Positions {
  let positions = known.get(gbnf);
  if (positions === undefined) {
    let id = 0;
    const nextId = () => id++;
    positions = {
      starts: gbnf.rules.map(({ alternatives }) => alternatives.map((elements) => chain(elements, nextId))),
    };
    known.set(gbnf, positions);
  }
  return positions;
}

function chain(elements: readonly GbnfElement[], nextId: () => number): Position | undefined {
  let next: Position | undefined;
  for (const element of elements.toReversed()) {
    next = {
      id: nextId(),
      rule: element.kind === 'rule' ? element.rule : undefined,
      characters: element.kind === 'characters' ? element : undefined,
      next,
    };
  }
  return next;
}

/** What is still to come: `position`, and after its alternative what `below` holds. The bottom has no position. */
export interface Stack {
  /** Of its own among the stacks of a table. */
  readonly id: number;
  readonly position: Position | undefined;
  readonly below: Stack | undefined;
  /** Stacks that stand on this one, by the id of their position. */
  readonly above: Map<number, Stack>;
  /** What may come once the character on top was read: stacks with characters on top, or the bottom. */
  after: readonly Stack[] | undefined;
}

/** All stacks of a walk, each once. */
export class StackTable {
  size = 0;
  readonly #bottom: Stack = { id: 0, position: undefined, below: undefined, above: new Map(), after: [] };

  constructor(readonly positions: Positions) {}

  /** The stacks at the beginning of a rule that nothing follows. */
  begin(rule: number): readonly Stack[] {
    return this.#open(this.positions.starts[rule]!.map((start) => this.#push(this.#bottom, start)));
  }

  /** Where `stacks` lead when `character` is read. */
  read(stacks: readonly Stack[], character: number): readonly Stack[] {
    const matching = stacks.filter(({ position }) => position !== undefined && holds(position.characters!, character));
    if (matching.length === 1) return this.after(matching[0]!);
    const next = new Set<Stack>();
    for (const stack of matching) for (const after of this.after(stack)) next.add(after);
    if (next.size > STACKS_MAX) throw tooAmbiguous(`can be continued in more than ${STACKS_MAX} ways`);
    checkMembers(next);
    return [...next];
  }

  after(stack: Stack): readonly Stack[] {
    stack.after ??= this.#open([this.#push(stack.below!, stack.position!.next)]);
    return stack.after;
  }

  copy(stack: Stack, copies: Map<Stack, Stack>): Stack {
    // From the bottom up, without recursion: a stack is as deep as the text is nested.
    const chain: Stack[] = [];
    let lowest: Stack | undefined = stack;
    while (lowest.below !== undefined && !copies.has(lowest)) {
      chain.push(lowest);
      lowest = lowest.below;
    }
    let copied = copies.get(lowest) ?? this.#bottom;
    for (const original of chain.reverse()) {
      copied = this.#push(copied, original.position);
      copies.set(original, copied);
    }
    return copied;
  }

  /** Replaces rules on top by their alternatives until characters, or nothing, are on top. */
  #open(stacks: readonly Stack[]): readonly Stack[] {
    const passed = new Set<Stack>(stacks);
    const opened: Stack[] = [];
    // A set iterates over what is added meanwhile, too.
    for (const stack of passed) {
      if (passed.size > STACKS_PASSED_MAX || opened.length > STACKS_MAX) {
        throw tooAmbiguous(`can be continued in more than ${STACKS_MAX} ways`);
      }
      const { position } = stack;
      if (position?.rule === undefined) {
        opened.push(stack);
        continue;
      }
      // A rule at the end of its alternative leaves nothing behind, so that a loop doesn't make stacks grow.
      const below = this.#push(stack.below!, position.next);
      for (const start of this.positions.starts[position.rule]!) passed.add(this.#push(below, start));
    }
    checkMembers(opened);
    return opened;
  }

  #push(below: Stack, position: Position | undefined): Stack {
    if (position === undefined) return below;
    let stack = below.above.get(position.id);
    if (stack === undefined) {
      stack = { id: ++this.size, position, below, above: new Map(), after: undefined };
      below.above.set(position.id, stack);
    }
    return stack;
  }
}

function isComplete(stacks: readonly Stack[]): boolean {
  return stacks.some(({ position }) => position === undefined);
}

function checkMembers(stacks: Iterable<Stack>): void {
  let members = 0;
  for (const { position } of stacks) members += position?.characters?.members ?? 0;
  if (members <= MEMBERS_MAX) return;
  throw new InferenceError(
    'invalid_request',
    `The grammar compares a character with ${members} characters and ranges at once; at most ${MEMBERS_MAX} are ` +
      'possible. Write neighbouring characters as ranges (`[a-z]`), and use fewer sets side by side.',
    { param: 'grammar' },
  );
}

export function tooAmbiguous(what: string, param = 'grammar'): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The grammar is too ambiguous: a text ${what}. Write it so that each character decides how to go on: ` +
      'what alternatives have in common once, before them, and no two repetitions of the same characters side by side.',
    { param },
  );
}

function holds({ ranges }: GbnfCharacters, character: number): boolean {
  return overlaps(ranges, character, character);
}

/** Whether one of `ranges` has a character from `first` to `last`: the first range that ends late enough decides. */
function overlaps(ranges: readonly number[], first: number, last: number): boolean {
  let low = 0;
  let high = ranges.length >> 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[2 * middle + 1]! < first) low = middle + 1;
    else high = middle;
  }
  return 2 * low < ranges.length && ranges[2 * low]! <= last;
}

/** A character of which `missing` bytes are to come; whatever they are, it lies between `from` and `to`. */
interface Begun {
  readonly missing: number;
  readonly from: number;
  readonly to: number;
}

/** Undefined where no character of UTF-8 begins with `byte`. */
function beginCharacter(byte: number): Begun | undefined {
  if (byte < 0x80) return { missing: 0, from: byte, to: byte };
  // The bounds leave out what would have a shorter form, surrogates in part, and all beyond the last code point.
  if (byte >= 0xc2 && byte <= 0xdf) return block(1, byte & 0x1f, 0x80);
  if (byte >= 0xe0 && byte <= 0xef) return block(2, byte & 0x0f, 0x800);
  if (byte >= 0xf0 && byte <= 0xf4) return block(3, byte & 0x07, 0x10000);
  return undefined;
}

function block(missing: number, bits: number, least: number): Begun {
  const from = bits << (6 * missing);
  return { missing, from: Math.max(from, least), to: Math.min(from + 2 ** (6 * missing) - 1, CODE_POINT_MAX) };
}

/** Undefined where `byte` doesn't continue the character, or leads to none. */
function goOn({ missing, from, to }: Begun, byte: number): Begun | undefined {
  if ((byte & 0xc0) !== 0x80) return undefined;
  const left = missing - 1;
  const size = 2 ** (6 * left);
  const first = Math.floor(from / (size * 64)) * size * 64 + (byte & 0x3f) * size;
  const begun = { missing: left, from: Math.max(from, first), to: Math.min(to, first + size - 1) };
  const surrogates = begun.from >= 0xd800 && begun.to <= 0xdfff;
  return begun.from > begun.to || surrogates ? undefined : begun;
}

function mayEnd(stacks: readonly Stack[], { from, to }: Begun): boolean {
  // Surrogates are no characters, though sets such as `.` name them.
  const last = from < 0xd800 && to >= 0xd800 && to <= 0xdfff ? 0xd7ff : to;
  return stacks.some(({ position }) => position !== undefined && overlaps(position.characters!.ranges, from, last));
}
