import { InferenceError } from '@millrace/contracts';
import { checkLeftRecursion } from './check-left-recursion.js';
import {
  CODE_POINT_MAX,
  GBNF_LIMITS,
  GBNF_REPETITIONS_MAX,
  type Gbnf,
  type GbnfElement,
  type GbnfLimits,
} from './gbnf.js';

/**
 * Reads llama.cpp's grammar language, GBNF, as the llama.cpp that this project pins reads it.
 *
 * llama.cpp has a parser of its own, but it is native code that nobody can interrupt, and that trusts its input: 60,000
 * open parentheses overflow its stack, `{3,2}` repeats 2⁶⁴ times, and `r0 ::= r1 "a" | r1 "b"`, `r1 ::= r2 …` takes a
 * time that doubles with every rule. So a grammar goes there only after it was read here, where every step is bounded.
 *
 * More is refused than llama.cpp refuses, where it would quietly do something that nobody meant: a rule defined twice
 * (it takes the last), `[]` (it takes it for nothing), `{0,2001}` (it takes it for `*`), and all left recursion (it
 * overlooks some, such as `(a*)*`). References to tokens (`<think>`, `<[7]>`) are refused, since a grammar is read
 * without a vocabulary.
 *
 * @throws InferenceError `invalid_request` with `param`: the line and column of what can't be read, or both numbers of
 *   a limit.
 */
export function readGbnf(text: string, limits: GbnfLimits = GBNF_LIMITS, param = 'grammar'): Gbnf {
  checkText(text, limits, param);
  const gbnf = new Reader(text, limits, param).read();
  checkLeftRecursion(gbnf, param);
  return gbnf;
}

function checkText(text: string, limits: GbnfLimits, param: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.textBytesMax) {
    throw new InferenceError(
      'invalid_request',
      `The grammar has ${bytes} bytes; at most ${limits.textBytesMax} are read. Shorten it.`,
      { param },
    );
  }
  if (!text.isWellFormed()) {
    throw new InferenceError('invalid_request', 'The grammar has half a surrogate pair, which is no character.', {
      param,
    });
  }
}

/** A rule while it is read: alternatives as they come. */
interface Draft {
  readonly name: string;
  readonly named: boolean;
  /** Undefined for a rule that is used and not yet defined. */
  alternatives: GbnfElement[][] | undefined;
  /** Where it was first named, for the error if it is never defined. */
  readonly at: number;
}

const NAME = /[a-zA-Z0-9-]+/y;
const INTEGER = /[0-9]+/y;
/** Blanks and comments; the second also takes ends of lines. */
const BLANK = /(?:[ \t]|#[^\r\n]*)*/y;
const BLANK_LINES = /(?:[ \t\r\n]|#[^\r\n]*)*/y;

class Reader {
  #at = 0;
  #elements = 0;
  #namedRules = 0;
  /** Names, groups and repetitions so far: what llama.cpp counts to bound nested repetitions. */
  readonly #drafts: Draft[] = [];
  readonly #byName = new Map<string, number>();

  constructor(
    private readonly text: string,
    private readonly limits: GbnfLimits,
    private readonly param: string,
  ) {}

  read(): Gbnf {
    this.#take(BLANK_LINES);
    while (this.#at < this.text.length) this.#readRule();
    const rules = this.#drafts.map(({ name, named, alternatives, at }) => {
      if (alternatives === undefined) this.#fail(`The rule \`${name}\` is used but not defined.`, at);
      return { name, named, alternatives: alternatives! };
    });
    const root = this.#byName.get('root');
    if (root === undefined) {
      throw new InferenceError(
        'invalid_request',
        'The grammar has no rule `root`, where every answer begins. Add one.',
        {
          param: this.param,
        },
      );
    }
    return { rules, root };
  }

  #readRule(): void {
    const at = this.#at;
    const name = this.#take(NAME);
    if (name === '') this.#fail('Here a rule should begin with its name, of letters, digits and dashes.');
    this.#take(BLANK);
    if (!this.text.startsWith('::=', this.#at)) this.#fail(`\`::=\` should follow the name \`${name}\`.`);
    this.#at += 3;
    this.#take(BLANK_LINES);
    const rule = this.#draft(this.#named(name, at));
    if (rule.alternatives !== undefined) this.#fail(`The rule \`${name}\` is defined a second time.`, at);
    // Marked as defined before its inside is read, which may refer to it.
    rule.alternatives = [];
    this.#readAlternatives(rule, 0);
    if (this.#at < this.text.length && !/[\r\n]/.test(this.text[this.#at]!)) {
      this.#fail(`${this.#found()} can't stand here: an element, \`|\` or the end of the line should follow.`);
    }
    this.#take(BLANK_LINES);
  }

  /** Goes no deeper than `depthMax`. */
  #readAlternatives(rule: Draft, depth: number): void {
    rule.alternatives = [this.#readSequence(rule.name, depth)];
    while (this.text[this.#at] === '|') {
      this.#at++;
      this.#take(BLANK_LINES);
      rule.alternatives.push(this.#readSequence(rule.name, depth));
    }
  }

  #readSequence(owner: string, depth: number): GbnfElement[] {
    const blank = depth === 0 ? BLANK : BLANK_LINES;
    const sequence: GbnfElement[] = [];
    let lastFrom = 0;
    /** How many rules a repetition of the last item would repeat, as llama.cpp counts. */
    let weight = 1;
    for (;;) {
      const repetition = this.#takeRepetition(blank);
      if (repetition !== undefined) {
        weight = this.#repeat(owner, sequence, lastFrom, weight, repetition);
        continue;
      }
      const symbols = this.#drafts.length;
      const item = this.#takeItem(owner, depth);
      if (item === undefined) return sequence;
      weight = item.group ? Math.max(1, this.#drafts.length - symbols) : 1;
      lastFrom = sequence.length;
      this.#count(sizeOf(item.elements));
      for (const element of item.elements) sequence.push(element);
      this.#take(blank);
    }
  }

  /** A literal, a set, a reference, a group or `.`; undefined where none of them begins. */
  #takeItem(owner: string, depth: number): { elements: GbnfElement[]; group: boolean } | undefined {
    const next = this.text[this.#at];
    switch (next) {
      case '"':
        return { elements: this.#takeLiteral(), group: false };
      case '[':
        return { elements: [this.#takeSet()], group: false };
      case '(':
        return { elements: [this.#takeGroup(owner, depth)], group: true };
      case '.':
        this.#at++;
        return { elements: [{ kind: 'characters', ranges: [0, CODE_POINT_MAX], members: 1 }], group: false };
      case '<':
      case '!':
        return this.#fail('References to tokens (`<…>`, `!<…>`) are not supported: write the text of the token.');
    }
    const at = this.#at;
    const name = this.#take(NAME);
    return name === '' ? undefined : { elements: [{ kind: 'rule', rule: this.#named(name, at) }], group: false };
  }

  #takeLiteral(): GbnfElement[] {
    const from = this.#at++;
    const elements: GbnfElement[] = [];
    while (this.text[this.#at] !== '"') {
      const character = this.#takeCharacter('literal', from);
      elements.push({ kind: 'characters', ranges: normalRanges([[character, character]], false), members: 1 });
    }
    this.#at++;
    return elements;
  }

  #takeSet(): GbnfElement {
    const from = this.#at++;
    const negated = this.text[this.#at] === '^';
    if (negated) this.#at++;
    const pairs: [number, number][] = [];
    while (this.text[this.#at] !== ']') {
      const first = this.#takeCharacter('set', from);
      let last = first;
      if (this.text[this.#at] === '-' && this.text[this.#at + 1] !== ']') {
        this.#at++;
        last = this.#takeCharacter('set', from);
      }
      pairs.push([first, last]);
    }
    if (pairs.length === 0)
      this.#fail('A set of characters needs at least one: `[…]`. For any character, write `.`.', from);
    this.#at++;
    return { kind: 'characters', ranges: normalRanges(pairs, negated), members: pairs.length };
  }

  #takeGroup(owner: string, depth: number): GbnfElement {
    if (depth >= this.limits.depthMax) {
      this.#fail(
        `The parentheses are ${depth + 1} deep; at most ${this.limits.depthMax} are read. Give the inner ones a rule of their own.`,
      );
    }
    const from = this.#at++;
    this.#take(BLANK_LINES);
    const rule = this.#add(owner, false, from);
    this.#readAlternatives(this.#draft(rule), depth + 1);
    if (this.text[this.#at] !== ')') {
      this.#fail(
        this.#at < this.text.length
          ? `${this.#found()} can't stand here: \`)\` should follow.`
          : 'This `(` is never closed.',
        this.#at < this.text.length ? this.#at : from,
      );
    }
    this.#at++;
    return { kind: 'rule', rule };
  }

  #takeCharacter(inside: 'literal' | 'set', from: number): number {
    if (this.#at >= this.text.length) this.#fail(`This ${inside} is never closed.`, from);
    if (this.text[this.#at] !== '\\') {
      const character = this.text.codePointAt(this.#at)!;
      if (character === 0) this.#fail('The grammar has a NUL character. Write `\\x00` if it is meant.');
      this.#at += character > 0xffff ? 2 : 1;
      return character;
    }
    const letter = this.text[this.#at + 1] ?? '';
    const digits = HEX_DIGITS[letter];
    if (digits !== undefined) return this.#takeHex(digits);
    const meant = ESCAPES[letter];
    if (meant === undefined) {
      this.#fail(`\`\\${letter}\` is no escape. There are \\n \\r \\t \\\\ \\" \\[ \\] \\- \\xNN \\uNNNN \\UNNNNNNNN.`);
    }
    this.#at += 2;
    return meant!.charCodeAt(0);
  }

  #takeHex(digits: number): number {
    const hex = this.text.slice(this.#at + 2, this.#at + 2 + digits);
    if (hex.length !== digits || !/^[0-9a-fA-F]+$/.test(hex)) {
      this.#fail(`${digits} hexadecimal digits should follow \`\\${this.text[this.#at + 1]}\`.`);
    }
    this.#at += 2 + digits;
    return Number.parseInt(hex, 16);
  }

  #takeRepetition(blank: RegExp): Repetition | undefined {
    const at = this.#at;
    const simple = SIMPLE_REPETITIONS[this.text[at] ?? ''];
    if (simple !== undefined) {
      this.#at++;
      this.#take(blank);
      return { ...simple, at };
    }
    if (this.text[at] !== '{') return undefined;
    this.#at++;
    this.#take(blank);
    const min = this.#takeCount(blank);
    const max = this.#takeUpperCount(min, blank);
    if (this.text[this.#at] !== '}') this.#fail('`}` should follow: a repetition is `{m}`, `{m,}` or `{m,n}`.');
    this.#at++;
    this.#take(blank);
    if (max !== undefined && max < min)
      this.#fail(`\`{${min},${max}}\` asks for at least ${min} and at most ${max}.`, at);
    return { min, max, at };
  }

  #takeUpperCount(min: number, blank: RegExp): number | undefined {
    if (this.text[this.#at] !== ',') return min;
    this.#at++;
    this.#take(blank);
    return this.text[this.#at] === '}' ? undefined : this.#takeCount(blank);
  }

  #takeCount(blank: RegExp): number {
    const at = this.#at;
    const digits = this.#take(INTEGER);
    if (digits === '') this.#fail('A number should follow: a repetition is `{m}`, `{m,}` or `{m,n}`.');
    const count = Number(digits);
    if (count > GBNF_REPETITIONS_MAX) {
      const shown = digits.length > 20 ? `${digits.slice(0, 20)}…` : digits;
      this.#fail(
        `A repetition asks for ${shown}; at most ${GBNF_REPETITIONS_MAX} are possible. Use \`{m,}\`, or fewer.`,
        at,
      );
    }
    this.#take(blank);
    return count;
  }

  /**
   * Writes out a repetition of what `sequence` holds from `from` on, as llama.cpp does: `x{2,4}` becomes `x x r2`, with
   * `r2 ::= x r1 |` and `r1 ::= x |`; `x{2,}` becomes `x x r` with `r ::= x r |`. Returns the new weight.
   */
  #repeat(owner: string, sequence: GbnfElement[], from: number, weight: number, { min, max, at }: Repetition): number {
    if (from === sequence.length) this.#fail('Nothing stands before this repetition.', at);
    const times = max !== undefined && max > 0 ? max : Math.max(1, min);
    if (weight * times > GBNF_REPETITIONS_MAX) {
      this.#fail(
        `A repetition within a repetition comes to ${weight * times} rules; at most ${GBNF_REPETITIONS_MAX} are possible. Repeat less often, or give the inner part a rule of its own.`,
        at,
      );
    }
    const item = sequence.slice(from);
    const optional = max === undefined ? 1 : max - min;
    this.#count(sizeOf(item) * (min + optional) + optional);
    if (min === 0) sequence.length = from;
    for (let i = 1; i < min; i++) sequence.push(...item);
    let last: number | undefined;
    for (let i = 0; i < optional; i++) {
      const rule = this.#add(owner, false, at);
      const tail = max === undefined ? rule : last;
      this.#draft(rule).alternatives = [tail === undefined ? item : [...item, { kind: 'rule', rule: tail }], []];
      last = rule;
    }
    if (last !== undefined) sequence.push({ kind: 'rule', rule: last });
    return weight * times;
  }

  /** The rule of that name, defined or not. */
  #named(name: string, at: number): number {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    if (++this.#namedRules > this.limits.rulesMax) {
      this.#fail(`The grammar has more than ${this.limits.rulesMax} rules, which is the most. Use fewer.`);
    }
    const rule = this.#add(name, true, at);
    this.#byName.set(name, rule);
    return rule;
  }

  #add(name: string, named: boolean, at: number): number {
    this.#drafts.push({ name, named, alternatives: undefined, at });
    return this.#drafts.length - 1;
  }

  #draft(rule: number): Draft {
    return this.#drafts[rule]!;
  }

  #count(elements: number): void {
    this.#elements += elements;
    if (this.#elements > this.limits.elementsMax) {
      this.#fail(
        `With its repetitions written out, the grammar has at least ${this.#elements} elements; at most ${this.limits.elementsMax} are possible. Repeat less often.`,
      );
    }
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const taken = pattern.exec(this.text)?.[0] ?? '';
    this.#at += taken.length;
    return taken;
  }

  #found(): string {
    return `\`${String.fromCodePoint(this.text.codePointAt(this.#at)!)}\``;
  }

  #fail(sentence: string, at = this.#at): never {
    const before = this.text.slice(0, at).split(/\r\n|\r|\n/);
    const where = `line ${before.length}, column ${[...before.at(-1)!].length + 1}`;
    throw new InferenceError('invalid_request', `The grammar can't be read at ${where}: ${sentence}`, {
      param: this.param,
    });
  }
}

/** As llama.cpp stores them: a repeated set is there with all its members each time. */
function sizeOf(elements: readonly GbnfElement[]): number {
  return elements.reduce((sum, element) => sum + (element.kind === 'characters' ? element.members : 1), 0);
}

interface Repetition {
  readonly min: number;
  /** Undefined: any number. */
  readonly max: number | undefined;
  readonly at: number;
}

const SIMPLE_REPETITIONS: Readonly<Record<string, { min: number; max: number | undefined }>> = {
  '*': { min: 0, max: undefined },
  '+': { min: 1, max: undefined },
  '?': { min: 0, max: 1 },
};

const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  '"': '"',
  '[': '[',
  ']': ']',
  '-': '-',
};

/** Pairs of any order, overlapping or not, as rising ranges apart from each other; the other characters if `negated`. */
function normalRanges(pairs: readonly (readonly [number, number])[], negated: boolean): number[] {
  const sorted = pairs.filter(([first, last]) => first <= last && first <= CODE_POINT_MAX).sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [first, last] of sorted) {
    const end = Math.min(last, CODE_POINT_MAX);
    if (merged.length > 0 && first <= merged.at(-1)! + 1) merged[merged.length - 1] = Math.max(merged.at(-1)!, end);
    else merged.push(first, end);
  }
  return negated ? complement(merged) : merged;
}

function complement(ranges: readonly number[]): number[] {
  const others: number[] = [];
  let next = 0;
  for (let at = 0; at < ranges.length; at += 2) {
    if (ranges[at]! > next) others.push(next, ranges[at]! - 1);
    next = ranges[at + 1]! + 1;
  }
  if (next <= CODE_POINT_MAX) others.push(next, CODE_POINT_MAX);
  return others;
}
