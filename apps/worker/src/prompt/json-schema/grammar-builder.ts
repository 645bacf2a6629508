import { COMPILED_GBNF_LIMITS } from '../../token-engine/gbnf/gbnf.js';
import { TooLarge } from './automaton.js';

/** A rule of the grammar being built. */
export type Rule = number;

/** A part of an alternative: GBNF as it stands, or a rule, perhaps repeated. */
export type Item = string | { readonly rule: Rule; readonly min: number; readonly max: number | undefined };

/** What `{m,n}` is used for up to here; beyond, blocks of this size are put together. llama.cpp's own bound is 2,000. */
const BLOCK = 1_000;

/**
 * Alternatives of one rule, which mostly are characters that decide how to go on. All are followed at once, and to rule a token out, llama.cpp tries it on each: with 128,000
 * tokens, this many take about a fifth of a second. A little below `STACKS_MAX`, which would stop the answer.
 */
export const ALTERNATIVES_MAX = 400;

export function once(rule: Rule): Item {
  return { rule, min: 1, max: 1 };
}

/**
 * A grammar under construction. Rules may refer to rules that are defined later, and to such as derive nothing (what
 * `false` allows): alternatives with those are left out when the text is written.
 */
export class GrammarBuilder {
  readonly #rules: Item[][][] = [];
  #elements = 0;
  readonly #names = new Map<Rule, string>();

  /** A new rule; without alternatives, until it is defined, it derives nothing. */
  add(alternatives: Item[][] = []): Rule {
    if (this.#rules.length >= COMPILED_GBNF_LIMITS.rulesMax) {
      throw new TooLarge(`a grammar of more than ${COMPILED_GBNF_LIMITS.rulesMax} rules`);
    }
    const rule = this.#rules.push([]) - 1;
    this.define(rule, alternatives);
    return rule;
  }

  define(rule: Rule, alternatives: Item[][]): void {
    if (alternatives.length > ALTERNATIVES_MAX) {
      throw new TooLarge(`more than ${ALTERNATIVES_MAX} different characters at one place of the text`);
    }
    this.#rules[rule] = alternatives;
    for (const items of alternatives) for (const item of items) this.#elements += elementsOf(item);
    if (this.#elements > COMPILED_GBNF_LIMITS.elementsMax) {
      throw new TooLarge(`a grammar of more than ${COMPILED_GBNF_LIMITS.elementsMax} elements`);
    }
  }

  /**
   * `rule`, `min` to `max` times. Large numbers are made of blocks, so that no text is as long as the number: `x{0,2500}`
   * is `a ::= x{1000} b | x{0,999}` and so on, of which two at a time are followed.
   */
  times(rule: Rule, min: number, max: number | undefined): Item[] {
    if (max !== undefined && max < min) return [once(this.add())];
    const items = this.#exactly(rule, min);
    if (max === undefined) items.push({ rule, min: 0, max: undefined });
    else if (max > min) items.push(...this.#upTo(rule, max - min));
    return items;
  }

  #exactly(rule: Rule, count: number): Item[] {
    if (count === 0) return [];
    if (count < BLOCK) return [{ rule, min: count, max: count }];
    const block = this.add([[{ rule, min: BLOCK, max: BLOCK }]]);
    const blocks = Math.floor(count / BLOCK);
    return [{ rule: block, min: blocks, max: blocks }, ...this.#exactly(rule, count % BLOCK)];
  }

  #upTo(rule: Rule, count: number): Item[] {
    if (count < BLOCK) return [{ rule, min: 0, max: count }];
    const full = this.add([[{ rule, min: BLOCK, max: BLOCK }]]);
    const part = this.add([[{ rule, min: 0, max: BLOCK - 1 }]]);
    let rest = this.add([[{ rule, min: 0, max: count % BLOCK }]]);
    for (let blocks = Math.floor(count / BLOCK); blocks > 0; blocks--) {
      rest = this.add([[once(full), once(rest)], [once(part)]]);
    }
    return [once(rest)];
  }

  /** The text of the grammar from `root` on, or undefined when that derives no text at all. */
  text(root: Rule): string | undefined {
    const finite = this.#finite();
    if (finite[root] === 0) return undefined;
    this.#names.clear();
    const names = this.#names.set(root, 'root');
    const lines: string[] = [];
    let characters = 0;
    const nameOf = (rule: Rule) => {
      // Not `r…`: number 31,997 would be `root`.
      const name = names.get(rule) ?? `x${names.size.toString(36)}`;
      names.set(rule, name);
      return name;
    };
    // The map grows while it is gone through: a rule is written once something has named it.
    for (const [rule, name] of names) {
      const alternatives = this.#rules[rule]!.filter((items) => items.every((item) => possible(item, finite)));
      const written = alternatives.map(
        (items) =>
          items
            .map((item) => write(item, finite, nameOf))
            .join(' ')
            .trim() || '""',
      );
      // An empty alternative is written as one: after `|`, the end of the line would not end the rule.
      const line = `${name} ::= ${written.join(' | ')}`;
      characters += line.length + 1;
      if (characters > COMPILED_GBNF_LIMITS.textBytesMax) {
        throw new TooLarge(`a grammar of more than ${COMPILED_GBNF_LIMITS.textBytesMax} bytes`);
      }
      lines.push(line);
    }
    return lines.join('\n');
  }

  /** Those of `rules` that derive no text at all. */
  barren(rules: readonly Rule[]): Rule[] {
    const finite = this.#finite();
    return rules.filter((rule) => finite[rule] === 0);
  }

  /** What the last `text` called a rule; undefined when nothing came to it. */
  nameOf(rule: Rule): string | undefined {
    return this.#names.get(rule);
  }

  /** Which rules derive a finite text: not `a ::= "[" a "]"`, nor what was never defined. */
  #finite(): Uint8Array {
    const finite = new Uint8Array(this.#rules.length);
    const missing: number[] = [];
    const owners: Rule[] = [];
    const mentions: number[][] = this.#rules.map(() => []);
    const found: Rule[] = [];
    const mark = (rule: Rule) => {
      if (finite[rule] === 0) {
        finite[rule] = 1;
        found.push(rule);
      }
    };
    for (const [rule, alternatives] of this.#rules.entries()) {
      for (const items of alternatives) {
        const needed = items.flatMap((item) => (typeof item === 'string' || item.min === 0 ? [] : [item.rule]));
        const alternative = missing.push(needed.length) - 1;
        owners.push(rule);
        for (const other of needed) mentions[other]!.push(alternative);
        if (needed.length === 0) mark(rule);
      }
    }
    for (let next = found.pop(); next !== undefined; next = found.pop()) {
      for (const alternative of mentions[next]!) if (--missing[alternative]! === 0) mark(owners[alternative]!);
    }
    return finite;
  }
}

function elementsOf(item: Item): number {
  // The text is longer than its elements are many: a bound, and no more is needed.
  return typeof item === 'string' ? item.length : Math.max(1, item.max ?? item.min) * 2;
}

function possible(item: Item, finite: Uint8Array): boolean {
  return typeof item === 'string' || item.min === 0 || finite[item.rule] === 1;
}

function write(item: Item, finite: Uint8Array, nameOf: (rule: Rule) => string): string {
  if (typeof item === 'string') return item;
  if (finite[item.rule] === 0) return '';
  const { min, max } = item;
  const name = nameOf(item.rule);
  if (min === 1 && max === 1) return name;
  if (min === 0 && max === undefined) return `${name}*`;
  return `${name}{${min}${min === max ? '' : `,${max ?? ''}`}}`;
}

/** A literal of GBNF. */
export function literal(text: string): string {
  let written = '';
  for (const character of text) {
    const plain = /[\x20-\x7e]/.test(character) && character !== '"' && character !== '\\';
    written += plain ? character : escaped(character.codePointAt(0)!);
  }
  return `"${written}"`;
}

/** A set of GBNF, of pairs of first and last. Never negated: llama.cpp rules out half a character by what is excluded. */
export function set(ranges: readonly number[]): string {
  let written = '';
  for (let at = 0; at < ranges.length; at += 2) {
    written += member(ranges[at]!);
    if (ranges[at + 1]! > ranges[at]!) written += `-${member(ranges[at + 1]!)}`;
  }
  return `[${written}]`;
}

function member(code: number): string {
  const character = String.fromCodePoint(code);
  return /[a-zA-Z0-9]/.test(character) ? character : escaped(code);
}

function escaped(code: number): string {
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}
