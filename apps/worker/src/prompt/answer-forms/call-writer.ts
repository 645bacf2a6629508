import { TOOL_CALLS_MAX } from '@millrace/contracts';
import { type GrammarBuilder, type Item, literal, once, type Rule } from '../json-schema/grammar-builder.js';
import type { JsonRules } from '../json-schema/json-rules.js';

/** A tool that may be called, and the rule of its arguments. */
export interface ToolRule {
  readonly name: string;
  readonly arguments: Rule;
}

/**
 * Blanks where a call opens. More than we would write: what stands there may have been written before anything was bound,
 * and must not be what the grammar rules out.
 */
const SPACE = '[ \\t\\r\\n]{0,40}';

/** What a form writes its calls with. */
export class CallWriter {
  readonly #space: Rule;

  constructor(
    readonly builder: GrammarBuilder,
    readonly json: JsonRules,
    readonly tools: readonly ToolRule[],
    /** Whether an answer may have several calls. */
    readonly parallel: boolean,
  ) {
    this.#space = builder.add([[SPACE]]);
  }

  /** Blanks of any kind, where a call opens. */
  get space(): Item {
    return once(this.#space);
  }

  /** Nothing, a blank, or a new line with its indentation. */
  get blank(): Item {
    return once(this.json.blank);
  }

  rule(...alternatives: Item[][]): Item {
    return once(this.builder.add(alternatives));
  }

  optional(...items: Item[]): Item {
    return this.rule(items, []);
  }

  /** `call`, and as often again behind `between` as an answer may call, if it may call more than once. */
  row(call: Item[], between: Item[]): Item[] {
    if (!this.parallel) return call;
    const one = this.builder.add([call]);
    const more = this.builder.add([[...between, once(one)]]);
    return [once(one), { rule: more, min: 0, max: TOOL_CALLS_MAX - 1 }];
  }

  /** The name of a tool and what follows it, as a tree of characters: a hundred tools are followed as easily as one. */
  named(after: (tool: ToolRule) => Item[]): Item {
    return once(this.#names('', this.tools, after));
  }

  #names(before: string, tools: readonly ToolRule[], after: (tool: ToolRule) => Item[]): Rule {
    const at = before.length;
    const byCharacter = Map.groupBy(tools, ({ name }) => name[at] ?? '');
    return this.builder.add(
      [...byCharacter].map(([character, those]): Item[] => {
        if (character === '') return after(those[0]!);
        if (those.length === 1) return [literal(those[0]!.name.slice(at)), ...after(those[0]!)];
        return [literal(character), once(this.#names(before + character, those, after))];
      }),
    );
  }

  /** `{"name": …, "arguments": {…}}`, with other keys in `more`. */
  object(nameKey: string, argumentsKey: string, before: Item[] = [], behind: Item[] = []): Item {
    const { blank, space } = this;
    return this.rule([
      '"{"',
      space,
      ...before,
      literal(`"${nameKey}"`),
      space,
      '":"',
      space,
      '"\\""',
      this.named(({ arguments: rule }) => [
        literal('",'),
        blank,
        literal(`"${argumentsKey}":`),
        blank,
        once(rule),
        ...behind,
        blank,
        '"}"',
      ]),
    ]);
  }
}
