import type { Bound, NumberRange } from './number-range.js';
import { type JsonType, refuse, type SchemaNode, TYPES } from './read-schema.js';

/** Which type a keyword speaks of. Where no `type` is given, these say what is meant. */
const TYPE_OF_KEYWORD: Readonly<Record<string, JsonType>> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  minProperties: 'object',
  items: 'array',
  prefixItems: 'array',
  minItems: 'array',
  maxItems: 'array',
  uniqueItems: 'array',
  minLength: 'string',
  maxLength: 'string',
  pattern: 'string',
  format: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number',
};

type Keywords = Readonly<Record<string, unknown>>;

/** The schema that no value obeys. No schema that is read has this id. */
const NOTHING: SchemaNode = {
  id: -2,
  path: '',
  schema: false,
  properties: new Map(),
  children: new Map(),
  target: undefined,
};

/** What several schemas together demand of a value, but for their references and branches. */
export class Demands {
  /** Whether one of them is `false`. */
  readonly impossible: boolean;
  readonly #nodes: readonly SchemaNode[];
  readonly #all: readonly Keywords[];

  /** @param without names of properties that may not be there */
  constructor(
    nodes: readonly SchemaNode[],
    private readonly without: readonly string[] = [],
  ) {
    this.impossible = nodes.some(({ schema }) => schema === false);
    this.#nodes = nodes.filter(({ schema }) => typeof schema === 'object');
    this.#all = this.#nodes.map(({ schema }) => schema as Keywords);
  }

  /** Where the first of them stands. */
  get path(): string | undefined {
    return this.#nodes[0]?.path;
  }

  /** The types that `type` leaves; undefined where no schema has it. Never both `integer` and `number`. */
  get declaredTypes(): readonly JsonType[] | undefined {
    const named = this.#of<JsonType | JsonType[]>('type').map((type) => (Array.isArray(type) ? type : [type]));
    if (named.length === 0) return undefined;
    const has = (types: readonly JsonType[], type: JsonType) =>
      types.includes(type) || (type === 'integer' && types.includes('number'));
    const left = TYPES.filter((type) => named.every((types) => has(types, type)));
    return left.filter((type) => type !== 'integer' || !left.includes('number'));
  }

  get types(): readonly JsonType[] {
    const declared = this.declaredTypes;
    if (declared !== undefined) return declared;
    const keywords = this.#all.flatMap((schema) => Object.keys(schema));
    const meant = new Set(keywords.flatMap((keyword) => TYPE_OF_KEYWORD[keyword] ?? []));
    return TYPES.filter((type) => (meant.size === 0 ? type !== 'integer' : meant.has(type)));
  }

  /** The values that `enum` and `const` leave, as JSON with its names in order; undefined where there is neither. */
  get values(): ReadonlyMap<string, unknown> | undefined {
    const lists = [...this.#of<unknown[]>('enum'), ...this.#of<unknown>('const').map((value) => [value])];
    if (lists.length === 0) return undefined;
    const [first, ...others] = lists.map((values) => new Map(values.map((value) => [ordered(value), value])));
    return new Map([...first!].filter(([key]) => others.every((other) => other.has(key))));
  }

  /** `values` as JSON texts, less those that the other keywords exclude. */
  listed(acceptsText: (text: string) => boolean): string[] {
    const left = [...this.values!.values()].filter((value) => this.#hasType(value) && this.#obeys(value, acceptsText));
    return [...new Set(left.map((value) => JSON.stringify(value)))];
  }

  #hasType(value: unknown): boolean {
    const types = this.declaredTypes;
    return types === undefined || types.some((type) => isOfType(value, type));
  }

  #obeys(value: unknown, acceptsText: (text: string) => boolean): boolean {
    if (typeof value === 'string') return acceptsText(value);
    if (typeof value === 'number') return inRange(value, this.range);
    if (typeof value !== 'object' || value === null) return true;
    if (this.without.some((name) => Object.hasOwn(value, name))) return false;
    const about = Array.isArray(value) ? 'array' : 'object';
    for (const { schema, path } of this.#nodes) {
      const keyword = Object.keys(schema).find((name) => TYPE_OF_KEYWORD[name] === about);
      if (keyword !== undefined) {
        throw refuse(
          `${path}.${keyword}`,
          `\`${keyword}\` beside \`enum\` or \`const\` with ${about === 'array' ? 'an array' : 'an object'} is not supported. List only values that obey it, and leave it out.`,
        );
      }
    }
    return true;
  }

  get range(): Omit<NumberRange, 'integer'> {
    const bounds = (inclusive: string, exclusive: string): Bound[] => [
      ...this.#of<number>(inclusive).map((value) => ({ value, exclusive: false })),
      ...this.#of<number>(exclusive).map((value) => ({ value, exclusive: true })),
    ];
    const tightest = (all: Bound[], sign: 1 | -1) =>
      all.toSorted((a, b) => sign * (b.value - a.value) || Number(b.exclusive) - Number(a.exclusive))[0];
    return {
      minimum: tightest(bounds('minimum', 'exclusiveMinimum'), 1),
      maximum: tightest(bounds('maximum', 'exclusiveMaximum'), -1),
      multiplesOf: [...new Set(this.#of<number>('multipleOf'))],
    };
  }

  get minLength(): number {
    return Math.max(0, ...this.#of<number>('minLength'));
  }

  get maxLength(): number | undefined {
    return least(this.#of<number>('maxLength'));
  }

  get minItems(): number {
    return Math.max(0, ...this.#of<number>('minItems'));
  }

  get maxItems(): number | undefined {
    return least(this.#of<number>('maxItems'));
  }

  /** Where it is demanded that no item comes twice. */
  get uniquePath(): string | undefined {
    return pathOf(this.#nodes, ({ uniqueItems }) => uniqueItems === true, 'uniqueItems');
  }

  /** How many properties there are at the least, and where most are demanded. */
  get minProperties(): { readonly count: number; readonly path: string } {
    const count = Math.max(0, ...this.#of<number>('minProperties'));
    return { count, path: pathOf(this.#nodes, ({ minProperties }) => minProperties === count, 'minProperties') ?? '' };
  }

  get formats(): readonly string[] {
    return [...new Set(this.#of<string>('format'))];
  }

  get patterns(): readonly { readonly pattern: string; readonly path: string }[] {
    const patterns = new Map<string, string>();
    for (const { schema, path } of this.#nodes) {
      const { pattern } = schema as { pattern?: string };
      if (pattern !== undefined && !patterns.has(pattern)) patterns.set(pattern, `${path}.pattern`);
    }
    return [...patterns].map(([pattern, path]) => ({ pattern, path }));
  }

  /** All properties that are named, in the order of naming, each with the schemas for its value. */
  properties(): { readonly name: string; readonly required: boolean; readonly nodes: readonly SchemaNode[] }[] {
    const required = new Set(this.#of<string[]>('required').flat());
    const names = new Set([
      ...this.#nodes.flatMap(({ properties }) => [...properties.keys()]),
      ...required,
      ...this.without,
    ]);
    const nodes = new Map<string, SchemaNode[]>([...names].map((name) => [name, []]));
    for (const { properties, children } of this.#nodes) {
      const others = children.get('additionalProperties');
      // Only what speaks of all names costs as much as there are names: thousands of schemas may name one each.
      for (const name of others === undefined ? properties.keys() : names) {
        nodes.get(name)!.push(...(properties.has(name) ? [properties.get(name)!] : others!));
      }
    }
    for (const name of this.without) nodes.get(name)!.push(NOTHING);
    return [...nodes].map(([name, nodes]) => ({ name, required: required.has(name), nodes }));
  }

  /** The schemas for properties that are not named; undefined where there may be none. */
  extraProperties(): readonly SchemaNode[] | undefined {
    const nodes = this.#nodes.flatMap(({ children }) => children.get('additionalProperties') ?? []);
    return nodes.some(({ schema }) => schema === false) ? undefined : nodes;
  }

  /** How many items have a schema of their own. */
  places(): number {
    return Math.max(0, ...this.#nodes.map(({ children }) => children.get('prefixItems')?.length ?? 0));
  }

  item(at: number): readonly SchemaNode[] {
    return this.#nodes.flatMap(({ children }) => {
      const own = children.get('prefixItems')?.[at];
      return own === undefined ? (children.get('items') ?? []) : [own];
    });
  }

  #of<Value>(keyword: string): Value[] {
    return this.#all.flatMap((schema) => (Object.hasOwn(schema, keyword) ? [schema[keyword] as Value] : []));
  }
}

function pathOf(nodes: readonly SchemaNode[], has: (schema: Keywords) => boolean, keyword: string): string | undefined {
  const node = nodes.find(({ schema }) => has(schema as Keywords));
  return node && `${node.path}.${keyword}`;
}

function least(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.min(...values);
}

export function isOfType(value: unknown, type: JsonType): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return typeof value === 'number';
    case 'string':
      return typeof value === 'string';
    case 'boolean':
      return typeof value === 'boolean';
  }
}

function inRange(value: number, { minimum, maximum, multiplesOf }: Omit<NumberRange, 'integer'>): boolean {
  if (minimum !== undefined && (minimum.exclusive ? value <= minimum.value : value < minimum.value)) return false;
  if (maximum !== undefined && (maximum.exclusive ? value >= maximum.value : value > maximum.value)) return false;
  return multiplesOf.every((multiple) => Number.isInteger(value / multiple));
}

/** JSON with the names of objects in order: equal values have equal texts. Values are 32 levels deep at the most. */
function ordered(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    isOfType(inner, 'object') ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
