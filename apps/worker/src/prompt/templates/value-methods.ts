import { ListValue, NoneValue, TextValue, TruthValue, type Value, WholeNumberValue } from './jinja-library.js';
import { pythonText } from './python-text.js';

type Method<Owner> = (owner: Owner, args: readonly Value[]) => Value;

/** Python's methods of texts that templates use and the library lacks or does otherwise; undefined for the others. */
export function textMethod(name: string): Method<string> | undefined {
  return Object.hasOwn(TEXT_METHODS, name) ? TEXT_METHODS[name] : undefined;
}

/** The same of lists, which the library has none for. Those that change a list change it in place, as in Python. */
export function listMethod(name: string): Method<Value[]> | undefined {
  return Object.hasOwn(LIST_METHODS, name) ? LIST_METHODS[name] : undefined;
}

const TEXT_METHODS: Readonly<Record<string, Method<string>>> = {
  /** `{}` and `{0}` only; templates have no use for more. */
  format: (text, args) => {
    let next = 0;
    return new TextValue(
      text.replace(/\{(\d*)\}/g, (_whole, index: string) => {
        const value = args[index === '' ? next++ : Number(index)];
        if (value === undefined) throw new Error('format() has more places than values');
        return pythonText(value);
      }),
    );
  },
  join: (text, [items]) => {
    if (!(items instanceof ListValue)) throw new Error('join() needs a list');
    return new TextValue(items.value.map(pythonText).join(text));
  },
  find: (text, [sought]) => new WholeNumberValue(text.indexOf(textOf(sought))),
  count: (text, [sought]) => new WholeNumberValue(text.split(textOf(sought)).length - 1),
  removeprefix: (text, [prefix]) =>
    new TextValue(text.startsWith(textOf(prefix)) ? text.slice(textOf(prefix).length) : text),
  removesuffix: (text, [suffix]) =>
    new TextValue(text.endsWith(textOf(suffix)) ? text.slice(0, text.length - textOf(suffix).length) : text),
  isdigit: (text) => new TruthValue(/^\d+$/.test(text)),
  splitlines: (text) => {
    const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
    return new ListValue(lines.map((line) => new TextValue(line)));
  },
  strip: (text, args) => new TextValue(stripped(text, args, 'both')),
  lstrip: (text, args) => new TextValue(stripped(text, args, 'start')),
  rstrip: (text, args) => new TextValue(stripped(text, args, 'end')),
};

const LIST_METHODS: Readonly<Record<string, Method<Value[]>>> = {
  append: (list, [item]) => {
    list.push(item ?? new NoneValue(null));
    return new NoneValue(null);
  },
  extend: (list, [items]) => {
    if (!(items instanceof ListValue)) throw new Error('extend() needs a list');
    // Not spread into arguments: there may be too many for that.
    for (const item of [...items.value]) list.push(item);
    return new NoneValue(null);
  },
  pop: (list, [at]) => {
    const [popped] = list.splice(at instanceof WholeNumberValue ? at.value : -1, 1);
    if (popped === undefined) throw new Error('pop() from a list that has no such item');
    return popped;
  },
};

/** The library's own `strip` takes off blanks, whatever characters it is told. */
function stripped(text: string, [characters]: readonly Value[], where: 'both' | 'start' | 'end'): string {
  const set: Pick<Set<string>, 'has'> = characters instanceof TextValue
    ? new Set(textOf(characters))
    : { has: (one) => /\s/.test(one) };
  let [from, to] = [0, text.length];
  while (where !== 'end' && from < to && set.has(text[from]!)) from++;
  while (where !== 'start' && to > from && set.has(text[to - 1]!)) to--;
  return text.slice(from, to);
}

function textOf(value: Value | undefined): string {
  if (!(value instanceof TextValue)) throw new Error('a text is needed');
  return value.value;
}
