import {
  LibraryInterpreter,
  ListValue,
  type Node,
  NothingValue,
  ObjectValue,
  TextValue,
  TruthValue,
  type Value,
  WholeNumberValue,
} from './jinja-library.js';
import { pythonText } from './python-text.js';
import { isNothing, listOf, plainFilter } from './value-filters.js';
import { listMethod, textMethod } from './value-methods.js';

interface Held extends Node {
  readonly held: Value;
}
interface Binary extends Node {
  readonly operator: { readonly value: string };
  readonly left: Node;
  readonly right: Node;
}
interface Member extends Node {
  readonly object: Node;
  readonly property: Node & { readonly value?: unknown };
  readonly computed: boolean;
}
interface Call extends Node {
  readonly callee: Node;
  readonly args: readonly Node[];
}
interface Loop extends Node {
  readonly iterable: Node & { readonly lhs?: Node };
}
interface Test extends Node {
  readonly operand: Node;
  readonly negate: boolean;
  readonly test: { readonly value: string };
}
interface ObjectLiteral extends Node {
  readonly value: ReadonlyMap<Node, Node>;
}

const OBJECT_METHODS: ReadonlySet<string> = new Set(['get', 'items', 'keys', 'values']);
/**
 * The library where it is stricter than Jinja or knows less, so that templates of the wild render as they do in Python
 * and in llama.cpp: what is not defined is empty; `schema.items()` is the method though a JSON schema has a key of that
 * name; numbers are keys; values are printed as Python prints them; texts and lists have more methods.
 */
export class LenientInterpreter extends LibraryInterpreter {
  override evaluate(node: Node, environment: unknown): Value {
    // The library evaluates what is absent, too.
    switch ((node as Node | undefined)?.type) {
      case 'Held':
        return (node as Held).held;
      case 'ObjectLiteral':
        return this.#object(node as ObjectLiteral, environment);
      default:
        return super.evaluate(node, environment);
    }
  }

  override evaluateBlock(statements: readonly Node[], environment: unknown): Value {
    let text = '';
    for (const statement of statements) {
      const value = this.evaluate(statement, environment);
      // Statements give none, and print nothing.
      if (value.type !== 'NullValue') text += pythonText(value);
    }
    return new TextValue(text);
  }

  override applyFilter(operand: Value, filter: Node, environment: unknown): Value {
    const name = filterName(filter);
    const plain = plainFilter(name, operand);
    if (plain !== undefined) return plain(operand);
    if (name === 'map' || name === 'select' || name === 'reject') return this.#each(name, operand, filter, environment);
    // Templates set `tools` to none, and filter it.
    if (operand.type === 'NullValue' && /^(selectattr|rejectattr)$/.test(name)) return new ListValue([]);
    return super.applyFilter(operand, filter, environment);
  }

  override evaluateTestExpression(node: Node, environment: unknown): Value {
    const { operand, negate, test } = node as Test;
    const value = this.evaluate(operand, environment);
    const goesOn = test.value === 'iterable' && (isNothing(value) || value instanceof ObjectValue);
    if (goesOn) return new TruthValue(!negate);
    return super.evaluateTestExpression({ ...node, operand: hold(value) } as Node, environment);
  }

  override evaluateBinaryExpression(node: Node, environment: unknown): Value {
    const { operator, left, right } = node as Binary;
    const fitting = FITTING.get(operator.value);
    if (fitting === undefined) return super.evaluateBinaryExpression(node, environment);
    const [first, second] = [this.evaluate(left, environment), this.evaluate(right, environment)];
    if (operator.value === '~') return new TextValue(pythonText(first) + pythonText(second));
    if (operator.value === '*' && first instanceof TextValue && second instanceof WholeNumberValue) {
      return repeated(first.value, second.value);
    }
    if (MEMBERSHIP.has(operator.value) && isNoneOrNothing(first, second)) {
      const among: readonly Value[] = second instanceof ListValue ? second.value : [];
      return new TruthValue(among.some(({ type }) => type === first.type) === (operator.value === 'in'));
    }
    const [one, other] = fitting(first, second);
    return super.evaluateBinaryExpression({ ...node, left: hold(one), right: hold(other) } as Node, environment);
  }

  override evaluateMemberExpression(node: Node, environment: unknown): Value {
    const { computed, object, property } = node as Member;
    if (!computed || property.type === 'SliceExpression') return super.evaluateMemberExpression(node, environment);
    const [from, key] = [this.evaluate(object, environment), this.evaluate(property, environment)];
    if (isNothing(key)) return new NothingValue();
    const named =
      from instanceof ObjectValue && key instanceof WholeNumberValue ? new TextValue(String(key.value)) : key;
    return super.evaluateMemberExpression({ ...node, object: hold(from), property: hold(named) } as Node, environment);
  }

  override evaluateCallExpression(node: Node, environment: unknown): Value {
    const { callee, args } = node as Call;
    const { object, property, computed } = callee as Member;
    if (callee.type !== 'MemberExpression' || computed) return super.evaluateCallExpression(node, environment);
    const owner = this.evaluate(object, environment);
    // `properties.items()` of a tool that has none.
    if (isNothing(owner)) return new NothingValue();
    const name = String(property.value);
    const values = () => this.evaluateArguments(args, environment)[0];
    if (owner instanceof TextValue) {
      const method = textMethod(name);
      if (method !== undefined) return method(owner.value, values());
    }
    if (owner instanceof ListValue) {
      const method = listMethod(name);
      if (method !== undefined) return method(owner.value, values());
    }
    const own = owner instanceof ObjectValue && OBJECT_METHODS.has(name) ? owner.builtins.get(name) : undefined;
    const called = own === undefined ? { ...callee, object: hold(owner) } : hold(own);
    return super.evaluateCallExpression({ ...node, callee: called } as Node, environment);
  }

  override evaluateFor(node: Node, environment: unknown): Value {
    const { iterable } = node as Loop;
    const { lhs } = iterable;
    const selects = iterable.type === 'SelectExpression' && lhs !== undefined;
    const over = hold(listOf(this.evaluate(selects ? lhs : iterable, environment)));
    return super.evaluateFor({ ...node, iterable: selects ? { ...iterable, lhs: over } : over } as Node, environment);
  }

  #object({ value, ...node }: ObjectLiteral, environment: unknown): Value {
    const entries = [...value].map(([key, content]) => {
      return [hold(new TextValue(pythonText(this.evaluate(key, environment)))), content] as const;
    });
    return super.evaluate({ ...node, value: new Map(entries) } as Node, environment);
  }

  /** `map('upper')`, `select('string')`: a filter or a test for each item. */
  #each(name: 'map' | 'select' | 'reject', operand: Value, filter: Node, environment: unknown): Value {
    const [named, ...args] = (filter as Call).args ?? [];
    if (!(operand instanceof ListValue) || named?.type !== 'StringLiteral') {
      return super.applyFilter(operand, filter, environment);
    }
    const identifier = { type: 'Identifier', value: String(this.evaluate(named, environment).value) };
    const items = operand.value;
    if (name === 'map') {
      const inner = args.length === 0 ? identifier : { type: 'CallExpression', callee: identifier, args };
      return new ListValue(items.map((item) => this.applyFilter(item, inner, environment)));
    }
    const passes = (item: Value) => {
      const test = { type: 'TestExpression', operand: hold(item), negate: false, test: identifier };
      return this.evaluate(test as Node, environment).value === true;
    };
    return new ListValue(items.filter((item) => passes(item) === (name === 'select')));
  }
}

/** Adding a list or an object to a text is an error in Python, and a sign that a template wants JSON text. */
function addable(first: Value, second: Value): readonly [Value, Value] {
  const structured = (value: Value) => value instanceof ListValue || value instanceof ObjectValue;
  const [one, other] = [emptyIfNothing(first), emptyIfNothing(second)];
  if ((one instanceof TextValue && structured(other)) || (structured(one) && other instanceof TextValue)) {
    throw new Error(`the template adds a ${one.type} and a ${other.type}`);
  }
  return [one, other];
}

/** Keys of objects are texts here, even where the template wrote numbers. */
function comparable(first: Value, second: Value): readonly [Value, Value] {
  const asNumber = (value: Value) =>
    value instanceof TextValue && /^\d+$/.test(value.value) ? new WholeNumberValue(Number(value.value)) : value;
  if (first instanceof TextValue === second instanceof TextValue) return [first, second];
  return [asNumber(first), asNumber(second)];
}

function emptyIfNothing(value: Value): Value {
  return isNothing(value) || value.type === 'NullValue' ? new TextValue('') : value;
}

function filterName(filter: Node): string {
  const { value, callee } = filter as { value?: string; callee?: { value?: string } };
  return value ?? callee?.value ?? '';
}

function hold(held: Value): Held {
  return { type: 'Held', held };
}

/** Blanks in front of lines, mostly. */
const REPEATED_CHARACTERS_MAX = 1_000_000;

function repeated(text: string, times: number): Value {
  const length = text.length * Math.max(0, times);
  if (length > REPEATED_CHARACTERS_MAX) {
    throw new Error(`the template repeats a text to ${length} characters; ${REPEATED_CHARACTERS_MAX} are accepted`);
  }
  return new TextValue(text.repeat(Math.max(0, times)));
}

const MEMBERSHIP: ReadonlySet<string> = new Set(['in', 'not in']);

function isNoneOrNothing(...values: readonly Value[]): boolean {
  return values.some((value) => isNothing(value) || value.type === 'NullValue');
}

const asTheyAre = (first: Value, second: Value): readonly [Value, Value] => [first, second];

/** The operators that take more than the library lets them, and what it is given instead. */
const FITTING: ReadonlyMap<string, (first: Value, second: Value) => readonly [Value, Value]> = new Map([
  ['+', addable],
  ['~', asTheyAre],
  ['*', asTheyAre],
  ['in', asTheyAre],
  ['not in', asTheyAre],
  ['<', comparable],
  ['<=', comparable],
  ['>', comparable],
  ['>=', comparable],
]);
