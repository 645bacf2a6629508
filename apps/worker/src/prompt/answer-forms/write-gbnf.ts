import type { Gbnf, GbnfElement } from '../../token-engine/gbnf/gbnf.js';
import { type GrammarBuilder, type Item, once, type Rule, set } from '../json-schema/grammar-builder.js';

/** Writes a grammar into another one, where its rules have no names that could be taken already. */
export function writeGbnf(builder: GrammarBuilder, { rules, root }: Gbnf): Rule {
  const written = rules.map(() => builder.add());
  // Nothing can follow an empty set, as nothing follows a rule without alternatives.
  const nothing = builder.add();
  const item = (element: GbnfElement): Item => {
    if (element.kind === 'rule') return once(written[element.rule]!);
    return element.ranges.length === 0 ? once(nothing) : set(element.ranges);
  };
  for (const [at, { alternatives }] of rules.entries()) {
    builder.define(
      written[at]!,
      alternatives.map((elements) => elements.map(item)),
    );
  }
  return written[root]!;
}
