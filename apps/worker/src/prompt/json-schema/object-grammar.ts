import { both, without } from './automaton.js';
import { type GrammarBuilder, type Item, literal, once, type Rule, set } from './grammar-builder.js';
import { PLAIN_CHARACTERS } from './write-automaton.js';

/** A property that may be written, in the order of writing. */
export interface Property {
  readonly name: string;
  readonly required: boolean;
  readonly value: Rule;
}

/**
 * Rules for an object: its properties in the order given, some of which may be left out, then any others if `extra` is
 * the rule for their values.
 *
 * After each property a rule says how to go on, and the names that may come there are a tree of characters, so that each
 * character decides. The trees of neighbouring places share all but the path of the one name in which they differ: their
 * sizes add up to that of the names.
 *
 * Names that are not declared are spelled as `JSON.stringify` spells them, with no escape but those that must be: else a
 * declared name could come again in disguise.
 */
export function writeObject(
  builder: GrammarBuilder,
  properties: readonly Property[],
  extra: Rule | undefined,
  blank: Rule,
  mayBeEmpty = true,
): Rule {
  return new ObjectWriter(builder, properties, extra, blank, mayBeEmpty).write();
}

/** What may be written of a name from a certain character on. */
interface NameTree {
  readonly next: ReadonlyMap<string, NameTree>;
  /** How to go on when the name ends here; undefined where it can't. */
  readonly end: Rule | undefined;
  /** What the name may be if it is none of those declared. */
  readonly others: Others;
}

/** Where in a name that isn't declared one is: between characters, or how far into an escape. */
type Others = 'none' | 'plain' | 'escape' | 'u' | 'u0' | 'u00' | 'low' | 'high';

const codes = (characters: string) =>
  [...characters].flatMap((character) => [character.charCodeAt(0), character.charCodeAt(0)]);

/** How the spelling of `JSON.stringify` goes on: characters in rising order, and where they lead. */
const OTHERS: Readonly<Record<Others, readonly (readonly [readonly number[], Exclude<Others, 'none'>])[]>> = {
  none: [],
  plain: [
    [PLAIN_CHARACTERS, 'plain'],
    [codes('\\'), 'escape'],
  ],
  escape: [
    [codes('"\\bfnrt'), 'plain'],
    [codes('u'), 'u'],
  ],
  u: [[codes('0'), 'u0']],
  u0: [[codes('0'), 'u00']],
  u00: [
    [codes('0'), 'low'],
    [codes('1'), 'high'],
  ],
  low: [[codes('01234567bef'), 'plain']],
  high: [[codes('0123456789abcdef'), 'plain']],
};

class ObjectWriter {
  readonly #rules = new Map<NameTree, Rule>();
  readonly #open: NameTree[] = [];
  readonly #others = new Map<Others, Rule>();
  /** After an undeclared property, and at the end of the name of one. */
  readonly #afterExtra: Rule;
  readonly #endOfExtra: Rule;

  constructor(
    private readonly builder: GrammarBuilder,
    private readonly properties: readonly Property[],
    private readonly extra: Rule | undefined,
    private readonly blank: Rule,
    private readonly mayBeEmpty: boolean,
  ) {
    this.#afterExtra = builder.add();
    this.#endOfExtra = builder.add(
      extra === undefined ? [] : [['"\\""', '":"', once(blank), once(extra), once(this.#afterExtra)]],
    );
  }

  write(): Rule {
    const { builder, properties, extra } = this;
    // Where to go on when the first `at` properties are written or left out.
    const after = properties.map(() => builder.add());
    after.push(builder.add());
    let names = extra === undefined ? NO_NAMES : this.#undeclaredNames();
    builder.define(this.#afterExtra, this.#goingOn(names, true));
    builder.define(after[properties.length]!, this.#goingOn(names, true));
    let first = this.#beginning(names, true);
    let mayEnd = true;
    for (let at = properties.length - 1; at >= 0; at--) {
      const { name, required, value } = properties[at]!;
      const end = builder.add([['"\\""', '":"', once(this.blank), once(value), once(after[at + 1]!)]]);
      if (required) {
        names = this.#insert(NO_NAMES, name, end);
        mayEnd = false;
      } else names = this.#insert(names, name, end);
      builder.define(after[at]!, this.#goingOn(names, mayEnd));
      if (at === 0) first = this.#beginning(names, mayEnd);
    }
    this.#writeNames();
    return builder.add([['"{"', once(this.blank), once(builder.add(first))]]);
  }

  #beginning(names: NameTree, mayEnd: boolean): Item[][] {
    return [...(mayEnd && this.mayBeEmpty ? [['"}"']] : []), ...this.#named(names, [])];
  }

  #goingOn(names: NameTree, mayEnd: boolean): Item[][] {
    return [...(mayEnd ? [[once(this.blank), '"}"']] : []), ...this.#named(names, ['","', once(this.blank)])];
  }

  #named(names: NameTree, before: Item[]): Item[][] {
    return isBare(names) ? [] : [[...before, '"\\""', once(this.#ruleOf(names))]];
  }

  /** All names but those declared, which are there as names that can't be ended. */
  #undeclaredNames(): NameTree {
    let names: NameTree = { next: new Map(), end: this.#endOfExtra, others: 'plain' };
    for (const { name } of this.properties) names = this.#insert(names, name, undefined);
    return names;
  }

  /** `names` with `name` added, which ends in `end`. What isn't on its path is shared with `names`. */
  #insert(names: NameTree, name: string, end: Rule | undefined): NameTree {
    const characters = [...JSON.stringify(name).slice(1, -1)];
    const path: NameTree[] = [names];
    for (const character of characters) {
      const { next, others } = path.at(-1)!;
      path.push(next.get(character) ?? this.#undeclared(beyond(others, character)));
    }
    let tree: NameTree = { ...path.at(-1)!, end };
    for (let at = characters.length - 1; at >= 0; at--) {
      const { next, ...rest } = path[at]!;
      tree = { ...rest, next: new Map(next).set(characters[at]!, tree) };
    }
    return tree;
  }

  #undeclared(others: Others): NameTree {
    return { next: new Map(), end: others === 'plain' ? this.#endOfExtra : undefined, others };
  }

  #ruleOf(names: NameTree): Rule {
    let rule = this.#rules.get(names);
    if (rule === undefined) {
      rule = this.builder.add();
      this.#rules.set(names, rule);
      this.#open.push(names);
    }
    return rule;
  }

  #writeNames(): void {
    for (let names = this.#open.pop(); names !== undefined; names = this.#open.pop()) {
      const alternatives: Item[][] = [...names.next].map(([character, next]) => this.#path(character, next));
      // An end that leads nowhere stands for a name that is taken.
      if (names.end !== undefined) alternatives.push([once(names.end)]);
      alternatives.push(...this.#otherNames(names));
      this.builder.define(this.#rules.get(names)!, alternatives);
    }
  }

  /** Characters up to the next place where there is a choice, as one literal. */
  #path(character: string, next: NameTree): Item[] {
    let written = character;
    let names = next;
    while (names.next.size === 1 && names.end === undefined && names.others === 'none') {
      const [only] = names.next;
      written += only![0];
      names = only![1];
    }
    return [literal(written), once(this.#ruleOf(names))];
  }

  #otherNames({ next, others }: NameTree): Item[][] {
    if (others === 'none') return [];
    return OTHERS[others].flatMap(([ranges, to]): Item[][] => {
      const free = less(ranges, next.keys());
      return free.length === 0 ? [] : [[set(free), once(this.#otherRule(to))]];
    });
  }

  /** The rest of an undeclared name. */
  #otherRule(others: Exclude<Others, 'none'>): Rule {
    let rule = this.#others.get(others);
    if (rule === undefined) {
      rule = this.builder.add();
      this.#others.set(others, rule);
      const end = others === 'plain' ? [[once(this.#endOfExtra)]] : [];
      this.builder.define(rule, [...end, ...this.#otherNames(this.#undeclared(others))]);
    }
    return rule;
  }
}

const NO_NAMES: NameTree = { next: new Map(), end: undefined, others: 'none' };

function isBare({ next, end, others }: NameTree): boolean {
  return next.size === 0 && end === undefined && others === 'none';
}

function beyond(others: Others, character: string): Others {
  const code = character.codePointAt(0)!;
  return OTHERS[others].find(([ranges]) => both(ranges, [code, code]).length > 0)?.[1] ?? 'none';
}

function less(ranges: readonly number[], characters: Iterable<string>): number[] {
  const taken = [...characters].map((character) => character.codePointAt(0)!).sort((a, b) => a - b);
  return without(
    ranges,
    taken.flatMap((code) => [code, code]),
  );
}
