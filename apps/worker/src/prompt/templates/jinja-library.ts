import { Environment, Interpreter } from '@huggingface/jinja';
import { WrittenNumber } from './written-numbers.js';

/** The library's declarations lead nowhere under Node's rules for modules, so what we use of it is said here. */

export interface Value {
  readonly type: string;
  readonly value: unknown;
  readonly builtins: ReadonlyMap<string, Value>;
  toString(): string;
}

export interface Node {
  readonly type: string;
}

/** What its interpreter has; the methods that it calls private are those that we change. */
interface LibraryInterpreter {
  run(program: unknown): Value;
  evaluate(node: Node, environment: unknown): Value;
  applyFilter(operand: Value, filter: Node, environment: unknown): Value;
  evaluateBinaryExpression(node: Node, environment: unknown): Value;
  evaluateMemberExpression(node: Node, environment: unknown): Value;
  evaluateCallExpression(node: Node, environment: unknown): Value;
  evaluateArguments(nodes: readonly Node[], environment: unknown): [Value[], ReadonlyMap<string, Value>];
  evaluateFor(node: Node, environment: unknown): Value;
  evaluateTestExpression(node: Node, environment: unknown): Value;
  evaluateBlock(statements: readonly Node[], environment: unknown): Value;
}

export const LibraryInterpreter = Interpreter as unknown as new (environment: unknown) => LibraryInterpreter;

/** A value of one kind; the kinds are told apart by what they hold. */
interface Holding<Content> extends Value {
  readonly value: Content;
}
export type TextValue = Holding<string>;
export type WholeNumberValue = Holding<number>;
export type TruthValue = Holding<boolean>;
export type ListValue = Holding<Value[]>;
export type ObjectValue = Holding<ReadonlyMap<string, Value>>;

type Make<Content> = new (content: Content) => Holding<Content>;

const environment = new Environment();
let made = 0;
const classOf = (value: unknown) => (environment.set(`made_${made++}`, value) as Value).constructor as unknown;

/** Its classes of values, which it doesn't export. */
export const TextValue = classOf('') as Make<string>;
export const WholeNumberValue = classOf(1) as Make<number>;
export const FractionValue = classOf(1.5) as Make<number>;
export const TruthValue = classOf(true) as Make<boolean>;
export const ListValue = classOf([]) as Make<Value[]>;
export const ObjectValue = classOf({}) as Make<ReadonlyMap<string, Value>>;
export const NoneValue = classOf(null) as Make<null>;
export const NothingValue = classOf(undefined) as new () => Holding<undefined>;

/** Gives a template a variable: the library's own `set`, but for numbers that are written with a fraction of zero. */
export function setVariable(environment: Environment, name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) environment.setVariable(name, templateValue(value));
  else environment.set(name, value);
}

function templateValue(given: unknown): Value {
  if (typeof given === 'string') return new TextValue(given);
  if (typeof given === 'boolean') return new TruthValue(given);
  if (typeof given === 'number')
    return Number.isInteger(given) ? new WholeNumberValue(given) : new FractionValue(given);
  if (given === undefined) return new NothingValue();
  if (given === null) return new NoneValue(null);
  if (given instanceof WrittenNumber) return new FractionValue(given.value);
  if (Array.isArray(given)) return new ListValue(given.map(templateValue));
  return new ObjectValue(new Map(Object.entries(given).map(([key, value]) => [key, templateValue(value)])));
}
