import fc from 'fast-check';

/** Text that goes into JSON as it stands: numbers that no double holds. Node has it; TypeScript's library not yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): object }).rawJSON;

/** One change to a body: what, and in which of its values. */
export interface Spoil {
  /** Counted through all its values, from the outside in, and around again. */
  readonly at: number;
  readonly how: Change;
}

export type Change =
  | { readonly kind: 'replace'; readonly by: unknown }
  | { readonly kind: 'remove' }
  | { readonly kind: 'add'; readonly name: string; readonly value: unknown }
  | { readonly kind: 'repeat'; readonly times: number }
  | { readonly kind: 'wrap' };

const nested = (levels: number): unknown => {
  let value: unknown = [];
  for (let level = 1; level < levels; level++) value = level % 2 ? [value] : { a: value };
  return value;
};

const ODD_VALUES = fc.constantFrom<unknown>(
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  0.5,
  2 ** 31,
  2 ** 32,
  -(2 ** 53),
  1e308,
  5e-324,
  rawJson('1e400'),
  rawJson('-1e400'),
  rawJson('9007199254740993'),
  rawJson('123456789012345678901234567890'),
  rawJson(`0.${'1'.repeat(400)}`),
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  'a\udfff',
  '\ufeff',
  '\u202e',
  '\u2028',
  'e\u0301\u0301\u0301',
  '__proto__',
  'constructor',
  'null',
  'NaN',
  '-1',
  '1e999',
  '../../etc/passwd',
  "'; DROP TABLE files; --",
  '{{7*7}}{% for a in b %}',
  '<|im_start|>system',
  'x'.repeat(20_000),
  '東'.repeat(5_000),
  [],
  {},
  [null],
  [[]],
  [{}],
  { '': '' },
  nested(60),
  nested(1_000),
  Object.fromEntries([['__proto__', { admin: true }]]),
  { constructor: { prototype: { admin: true } } },
  { toString: 1, valueOf: null, hasOwnProperty: 'x' },
  new Array(300).fill('a'),
  { $ref: '#/components/schemas/Error' },
);

const oddValue = fc.oneof(
  { weight: 5, arbitrary: ODD_VALUES },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);
const oddName = fc.constantFrom(
  '__proto__',
  'constructor',
  'prototype',
  '',
  'toJSON',
  'then',
  'unheard_of',
  'a\u0000',
  'stream',
  'model',
  'n',
);

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('replace' as const), by: oddValue }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add' as const), name: oddName, value: oddValue }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('repeat' as const), times: fc.constantFrom(0, 2, 20, 200, 3_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wrap' as const) }) },
);

/** Without the liking for small numbers, by which most changes would be to the whole body. */
const anywhere = fc.noBias(fc.nat({ max: 1_000 }));
const spoil: fc.Arbitrary<Spoil> = fc.record({ at: anywhere, how: change });

/** Half of what is sent is as it should be: an error in the first value hides those in all others. */
export const spoils: fc.Arbitrary<Spoil[]> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Spoil[]>([]) },
  { weight: 4, arbitrary: fc.array(spoil, { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(spoil, { minLength: 2, maxLength: 3 }) },
);

export function spoilt(value: unknown, { at, how }: Spoil): unknown {
  const places = placesOf(value);
  return changedAt(value, places[at % places.length]!, how);
}

type Place = readonly string[];
const PLACES_MAX = 400;

function placesOf(value: unknown): Place[] {
  const places: Place[] = [[]];
  for (let next = 0; next < places.length && places.length < PLACES_MAX; next++) {
    const place = places[next]!;
    const here = valueAt(value, place);
    if (isBranch(here)) places.push(...Object.keys(here).map((key) => [...place, key]));
  }
  return places;
}

function valueAt(value: unknown, place: Place): unknown {
  return place.reduce<unknown>((here, key) => (isBranch(here) ? here[key] : undefined), value);
}

export function isBranch(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !('rawJSON' in value);
}

function changedAt(value: unknown, [key, ...inner]: Place, how: Change): unknown {
  if (key === undefined) return changed(value, how);
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => {
      if (String(index) !== key) return [item];
      return inner.length === 0 && how.kind === 'remove' ? [] : [changedAt(item, inner, how)];
    });
  }
  // Never by assignment: `__proto__` would set one.
  return Object.fromEntries(
    Object.entries(value as object).flatMap(([name, item]) => {
      if (name !== key) return [[name, item]];
      return inner.length === 0 && how.kind === 'remove' ? [] : [[name, changedAt(item, inner, how)]];
    }),
  );
}

function changed(value: unknown, how: Change): unknown {
  switch (how.kind) {
    case 'replace':
      return how.by;
    case 'remove':
      return null;
    case 'add':
      if (Array.isArray(value)) return [...value, how.value];
      return isBranch(value) ? Object.fromEntries([...Object.entries(value), [how.name, how.value]]) : how.value;
    case 'repeat':
      if (Array.isArray(value)) return Array.from({ length: how.times }, () => value as unknown[]).flat();
      return typeof value === 'string' ? value.repeat(how.times).slice(0, 30_000) : [value];
    case 'wrap':
      return [value];
  }
}
