import { nullableRules } from './check-left-recursion.js';
import type { Gbnf, GbnfElement } from './gbnf.js';

/**
 * A text that the grammar derives, chosen by `random` (0 to 1). After about `length` characters, it takes the shortest
 * way to an end. Undefined when the grammar derives no finite text.
 */
export function randomText(gbnf: Gbnf, random: () => number, length: number): string | undefined {
  const costs = shortest(gbnf);
  if (!Number.isFinite(costs[gbnf.root])) return undefined;
  const pick = (count: number) => Math.min(count - 1, Math.floor(random() * count));
  const stack: GbnfElement[] = [{ kind: 'rule', rule: gbnf.root }];
  let text = '';
  let written = 0;
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (next.kind === 'characters') {
      const at = 2 * pick(next.ranges.length / 2);
      const [first, last] = [next.ranges[at]!, next.ranges[at + 1]!];
      // Mostly from the beginning of a range: the rest is much the same, and hard to read.
      text += String.fromCodePoint(first + pick(Math.min(last - first + 1, random() < 0.1 ? 5_000 : 40)));
      written++;
      continue;
    }
    const possible = gbnf.rules[next.rule]!.alternatives.filter((elements) => Number.isFinite(cost(elements, costs)));
    const cheapest = Math.min(...possible.map((elements) => cost(elements, costs)));
    const candidates = written < length ? possible : possible.filter((elements) => cost(elements, costs) === cheapest);
    stack.push(...candidates[pick(candidates.length)]!.toReversed());
  }
  return text;
}

function cost(elements: readonly GbnfElement[], costs: Float64Array): number {
  let sum = 0;
  for (const element of elements) {
    sum += element.kind === 'rule' ? costs[element.rule]! : element.ranges.length === 0 ? Number.POSITIVE_INFINITY : 1;
  }
  // An alternative costs something itself, so that the cheapest way never goes round in a circle.
  return sum + 0.001;
}

/** The least that each rule can cost, by rounds until nothing changes. */
function shortest(gbnf: Gbnf): Float64Array {
  const nullable = nullableRules(gbnf);
  const costs = Float64Array.from(gbnf.rules, (_, rule) => (nullable[rule] === 1 ? 1e6 : Number.POSITIVE_INFINITY));
  for (let changed = true; changed; ) {
    changed = false;
    for (const [rule, { alternatives }] of gbnf.rules.entries()) {
      for (const elements of alternatives) {
        const sum = cost(elements, costs);
        if (sum < costs[rule]!) {
          costs[rule] = sum;
          changed = true;
        }
      }
    }
  }
  return costs;
}
