import { type GrammarBuilder, type Item, once, type Rule, set } from './grammar-builder.js';
import { INTEGER_DIGITS_MAX } from './schema-limits.js';
import { PLAIN_CHARACTERS } from './write-automaton.js';

/** Blanks in a row after the end of a line: an indentation, but not a page of nothing. */
export const INDENTATION_MAX = 40;

const EXPONENT = '([03-9] [0-9]? | [12] ([0-7] [0-9]? | [89])?)';

const wholeOf = (digits: number) => `"-"? ("0" | [1-9] [0-9]{0,${digits - 1}})`;

/** Rules for JSON as such, written when they are first asked for. Only text that `JSON.parse` takes, and no lone surrogates. */
export class JsonRules {
  readonly #rules = new Map<string, Rule>();

  /** @param bare without blanks and with one string and one number only, to see what else a grammar does. */
  constructor(
    private readonly builder: GrammarBuilder,
    private readonly bare = false,
  ) {}

  /** Nothing, a blank, or a new line with its indentation: what models write between the parts of a value. */
  get blank(): Rule {
    return this.#once('blank', () =>
      this.bare ? this.builder.add([[]]) : this.builder.add([[], ['" "'], [`"\\n" [ \\t]{0,${INDENTATION_MAX}}`]]),
    );
  }

  /** One character within a string, in any spelling. */
  get character(): Rule {
    return this.#once('character', () => {
      const hex = '[0-9a-fA-F]';
      const escapes = this.builder.add([
        ['["\\\\/bfnrt]'],
        [
          '"u"',
          `([0-9a-cA-CefEF] ${hex}{3} | [dD] ([0-7] ${hex}{2} | [89abAB] ${hex}{2} "\\\\u" [dD] [c-fC-F] ${hex}{2}))`,
        ],
      ]);
      return this.builder.add([[set(PLAIN_CHARACTERS)], ['"\\\\"', once(escapes)]]);
    });
  }

  get string(): Rule {
    return this.#once('string', () =>
      this.stringOf(this.bare ? [] : [{ rule: this.character, min: 0, max: undefined }]),
    );
  }

  stringOf(contents: Item[]): Rule {
    return this.builder.add([['"\\""', ...contents, '"\\""']]);
  }

  get integer(): Rule {
    return this.#once('integer', () => this.builder.add([[this.bare ? '"0"' : wholeOf(INTEGER_DIGITS_MAX)]]));
  }

  /** As long as `JSON.stringify` makes them, with exponents up to 279: the number stays within what a double holds. */
  get number(): Rule {
    if (this.bare) return this.integer;
    return this.#once('number', () =>
      this.builder.add([[`${wholeOf(21)} ("." [0-9]{1,25})? ([eE] [-+]? ${EXPONENT})?`]]),
    );
  }

  get value(): Rule {
    const rule = this.#rules.get('value');
    if (rule !== undefined) return rule;
    // Named before it is defined, since objects and arrays hold values.
    const value = this.builder.add();
    this.#rules.set('value', value);
    const words = [['"true"'], ['"false"'], ['"null"']];
    this.builder.define(value, [
      [once(this.object)],
      [once(this.array)],
      [once(this.string)],
      [once(this.number)],
      ...words,
    ]);
    return value;
  }

  get object(): Rule {
    return this.#once('object', () => {
      const member = this.builder.add([[once(this.string), '":"', once(this.blank), once(this.value)]]);
      return this.#enclosed('{', member, '}');
    });
  }

  get array(): Rule {
    return this.#once('array', () => this.#enclosed('[', this.value, ']'));
  }

  #enclosed(open: string, member: Rule, close: string): Rule {
    const { builder } = this;
    const blank = once(this.blank);
    const more = builder.add([['","', blank, once(member)]]);
    const rest = builder.add([
      [`"${close}"`],
      [once(member), { rule: more, min: 0, max: undefined }, blank, `"${close}"`],
    ]);
    return builder.add([[`"${open}"`, blank, once(rest)]]);
  }

  #once(name: string, make: () => Rule): Rule {
    const known = this.#rules.get(name);
    if (known !== undefined) return known;
    const rule = make();
    // Making `object` may have made `object` on its way round through `value`; either will do, the first is kept.
    const rounded = this.#rules.get(name);
    if (rounded !== undefined) return rounded;
    this.#rules.set(name, rule);
    return rule;
  }
}
