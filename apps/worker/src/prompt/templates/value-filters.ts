import { ListValue, ObjectValue, TextValue, type Value, WholeNumberValue } from './jinja-library.js';
import { pythonText } from './python-text.js';

type Filter = (operand: Value) => Value;

/** Jinja's filters without arguments that the library lacks, or has for fewer kinds of values; undefined for the others. */
export function plainFilter(name: string, operand: Value): Filter | undefined {
  if (isNothing(operand)) return ofNothing(name);
  return Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
}

const FILTERS: Readonly<Record<string, Filter>> = {
  list: listOf,
  string: (operand) => new TextValue(pythonText(operand)),
  min: (operand) => extreme(operand, (one, other) => one < other),
  max: (operand) => extreme(operand, (one, other) => one > other),
};

/** Filters that say themselves what they make of nothing. */
const NOTHING_GOES_ON: ReadonlySet<string> = new Set(['default', 'd', 'tojson', 'safe']);
const OF_LISTS: ReadonlySet<string> = new Set(
  'list map select reject selectattr rejectattr sort unique reverse items'.split(' '),
);

/** What is not defined has no length and no items, and its text is empty. */
function ofNothing(name: string): Filter | undefined {
  if (NOTHING_GOES_ON.has(name)) return undefined;
  if (OF_LISTS.has(name)) return () => new ListValue([]);
  return () => (name === 'length' ? new WholeNumberValue(0) : new TextValue(''));
}

/** Whatever can be gone through, as a list. */
export function listOf(operand: Value): ListValue {
  if (isNothing(operand)) return new ListValue([]);
  if (operand instanceof ListValue) {
    // The library can take lists apart in a loop, but no tuples.
    const items = operand.value.map((item) =>
      item.type === 'TupleValue' ? new ListValue(item.value as Value[]) : item,
    );
    return new ListValue(items);
  }
  if (operand instanceof TextValue) {
    return new ListValue([...operand.value].map((one) => new TextValue(one)));
  }
  if (operand instanceof ObjectValue) {
    return new ListValue([...operand.value.keys()].map((key) => new TextValue(key)));
  }
  throw new Error(`a ${operand.type} has no items`);
}

function extreme(operand: Value, beats: (one: number | string, other: number | string) => boolean): Value {
  const items = listOf(operand).value;
  const [first, ...others] = items;
  if (first === undefined) return new TextValue('');
  return others.reduce((best, item) => (beats(item.value as number, best.value as number) ? item : best), first);
}

/** What is not defined. */
export function isNothing(value: Value): boolean {
  return value.type === 'UndefinedValue';
}
