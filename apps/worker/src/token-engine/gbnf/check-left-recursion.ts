import { InferenceError } from '@millrace/contracts';
import type { Gbnf, GbnfElement, GbnfRule } from './gbnf.js';

/** Elements that llama.cpp may look at while it searches for left recursion, which it does without remembering. */
export const LEFT_SEARCH_STEPS_MAX = 10_000_000;
/** How deep that search may call itself. */
export const LEFT_SEARCH_DEPTH_MAX = 5_000;

/**
 * Refuses a rule that can begin with itself, at once or by way of others: whoever follows the grammar would go round
 * without reading a character.
 *
 * llama.cpp searches for the same, but natively, calling itself for every rule that another can begin with, as often
 * as it is met. So this also adds up what its search would cost, and refuses what would keep it busy.
 */
export function checkLeftRecursion(gbnf: Gbnf, param: string): void {
  const nullable = nullableRules(gbnf);
  const order = leftmostFirst(gbnf, nullable, param);
  const steps = new Float64Array(gbnf.rules.length);
  const depth = new Int32Array(gbnf.rules.length);
  let total = 0;
  for (const index of order) {
    const rule = gbnf.rules[index]!;
    steps[index] = rule.alternatives.reduce((sum, { length }) => sum + length + 1, 0);
    for (const next of beginnings(rule, nullable)) {
      steps[index]! += steps[next]!;
      depth[index] = Math.max(depth[index]!, depth[next]! + 1);
    }
    total += steps[index]!;
    if (total > LEFT_SEARCH_STEPS_MAX || depth[index]! > LEFT_SEARCH_DEPTH_MAX) throw tooManyBeginnings(rule, param);
  }
}

/** Which rules derive the empty text. */
export function nullableRules({ rules }: Gbnf): Uint8Array {
  const nullable = new Uint8Array(rules.length);
  // For every rule, the alternatives that mention it, so that each is looked at once per mention and not in rounds.
  const missing: number[] = [];
  const mentions: { readonly rule: number; readonly alternative: number }[][] = rules.map(() => []);
  const found: number[] = [];
  const mark = (rule: number) => {
    if (nullable[rule] === 0) {
      nullable[rule] = 1;
      found.push(rule);
    }
  };
  for (const [rule, { alternatives }] of rules.entries()) {
    for (const elements of alternatives) {
      if (elements.length === 0) mark(rule);
      if (elements.length === 0 || !elements.every(({ kind }) => kind === 'rule')) continue;
      const alternative = missing.push(elements.length) - 1;
      for (const element of elements) {
        if (element.kind === 'rule') mentions[element.rule]!.push({ rule, alternative });
      }
    }
  }
  for (let next = found.pop(); next !== undefined; next = found.pop()) {
    for (const { rule, alternative } of mentions[next]!) if (--missing[alternative]! === 0) mark(rule);
  }
  return nullable;
}

/** The rules that `rule` can begin with, as often as it can. */
function* beginnings(rule: GbnfRule, nullable: Uint8Array): Generator<number> {
  for (const elements of rule.alternatives) yield* beginningsOf(elements, nullable);
}

function* beginningsOf(elements: readonly GbnfElement[], nullable: Uint8Array): Generator<number> {
  for (const element of elements) {
    if (element.kind !== 'rule') return;
    yield element.rule;
    if (nullable[element.rule] === 0) return;
  }
}

/** All rules, each after those it can begin with. A stack of our own, since a chain may be thousands of rules long. */
function leftmostFirst(gbnf: Gbnf, nullable: Uint8Array, param: string): number[] {
  const order: number[] = [];
  const state = new Uint8Array(gbnf.rules.length);
  for (let start = 0; start < gbnf.rules.length; start++) {
    if (state[start] !== NEW) continue;
    state[start] = OPEN;
    const open = [{ rule: start, rest: beginnings(gbnf.rules[start]!, nullable) }];
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const { value: next, done } = top.rest.next();
      if (done) {
        state[top.rule] = DONE;
        order.push(top.rule);
        open.pop();
      } else if (state[next] === OPEN) {
        throw leftRecursion(
          gbnf,
          open.map(({ rule }) => rule),
          next,
          param,
        );
      } else if (state[next] === NEW) {
        state[next] = OPEN;
        open.push({ rule: next, rest: beginnings(gbnf.rules[next]!, nullable) });
      }
    }
  }
  return order;
}

const NEW = 0;
const OPEN = 1;
const DONE = 2;

/** How many names of a circle the error lists. */
const NAMES_SHOWN_MAX = 8;

function leftRecursion(gbnf: Gbnf, open: readonly number[], again: number, param: string): InferenceError {
  const circle = [...open.slice(open.indexOf(again)), again].map((rule) => gbnf.rules[rule]!.name);
  const names = circle.filter((name, at) => name !== circle[at - 1]);
  const shown = names.length > NAMES_SHOWN_MAX ? [...names.slice(0, NAMES_SHOWN_MAX), '…'] : names;
  const how =
    names.length > 1 ? `by way of ${shown.join(' → ')}` : 'or one of its repetitions repeats what may be empty';
  return new InferenceError(
    'invalid_request',
    `The grammar is left-recursive: the rule \`${gbnf.rules[again]!.name}\` can begin with itself, ${how}. ` +
      'Write `list ::= item ("," item)*` rather than `list ::= list "," item`, and repeat only what is never empty.',
    { param },
  );
}

function tooManyBeginnings(rule: GbnfRule, param: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The rule \`${rule.name}\` can begin with other rules in too many ways: more than ${LEFT_SEARCH_STEPS_MAX} steps, or ` +
      `${LEFT_SEARCH_DEPTH_MAX} rules that begin with each other, are not followed. Write what alternatives have in common once, before them.`,
    { param },
  );
}
