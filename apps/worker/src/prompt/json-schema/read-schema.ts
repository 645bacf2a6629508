import { InferenceError } from '@millrace/contracts';
import { FORMATS } from './formats.js';
import { SCHEMA_LIMITS } from './schema-limits.js';

/** A schema within the schema. */
export interface SchemaNode {
  readonly id: number;
  /** Where it stands, for errors: `response_format.json_schema.schema.properties.a`. */
  readonly path: string;
  readonly schema: boolean | Readonly<Record<string, unknown>>;
  /** The nodes beneath, by keyword; of maps by keyword and name. */
  readonly properties: ReadonlyMap<string, SchemaNode>;
  readonly children: ReadonlyMap<string, readonly SchemaNode[]>;
  /** Where its `$ref` points. */
  target: SchemaNode | undefined;
}

type Check = (value: unknown) => string | undefined;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const count: Check = (value) =>
  !Number.isInteger(value) || (value as number) < 0
    ? 'must be a whole number, 0 or more'
    : (value as number) > SCHEMA_LIMITS.lengthMax
      ? `is ${value}; at most ${SCHEMA_LIMITS.lengthMax} is possible. Lower it, or leave it out`
      : undefined;
const number: Check = (value) => (Number.isFinite(value) ? undefined : 'must be a number');
const text: Check = (value) =>
  typeof value !== 'string' ? 'must be a string' : value.isWellFormed() ? undefined : 'has half a surrogate pair';
const texts: Check = (value) =>
  Array.isArray(value) && value.every((entry) => text(entry) === undefined) ? undefined : 'must be a list of strings';
const list: Check = (value) => (Array.isArray(value) && value.length > 0 ? undefined : 'must be a list, and not empty');
const map: Check = (value) => (isObject(value) ? undefined : 'must be an object');
const any: Check = () => undefined;

export const TYPES = ['string', 'number', 'integer', 'boolean', 'null', 'object', 'array'] as const;
export type JsonType = (typeof TYPES)[number];

const type: Check = (value) => {
  const types = Array.isArray(value) ? value : [value];
  const unknown = types.find((entry) => !TYPES.includes(entry as JsonType));
  if (types.length === 0) return 'must name a type';
  return unknown === undefined ? undefined : `names ${shown(unknown)}; the types are ${TYPES.join(', ')}`;
};
const format: Check = (value) =>
  FORMATS.has(value as string)
    ? undefined
    : `is ${shown(value)}; the formats are ${[...FORMATS.keys()].join(', ')}. Use \`pattern\`, or leave it out`;
const multiple: Check = (value) =>
  Number.isFinite(value) && (value as number) > 0 ? undefined : 'must be a number above 0';
const onlyStrings: Check = (value) =>
  value === true ||
  (isObject(value) && Object.entries(value).every(([key, inner]) => key === 'type' && inner === 'string'))
    ? undefined
    : 'is only supported as {"type": "string"}, which every name obeys';
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
const off: Check = (value) => (value === false ? undefined : 'is only supported as false');

/** Keywords that are obeyed, with what their values must be. */
export const SUPPORTED_KEYWORDS: Readonly<Record<string, Check>> = {
  type,
  enum: list,
  const: any,
  properties: map,
  required: texts,
  additionalProperties: any,
  minProperties: count,
  items: (value) =>
    Array.isArray(value) ? 'must be one schema. For one schema for each place, use `prefixItems`' : undefined,
  prefixItems: list,
  minItems: count,
  maxItems: count,
  uniqueItems: flag,
  minLength: count,
  maxLength: count,
  pattern: text,
  format,
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: multiple,
  anyOf: list,
  oneOf: list,
  allOf: list,
  $ref: text,
  $defs: map,
  definitions: map,
};

/** Keywords that say nothing about the value, or nothing more when they have the value that is let through. */
export const IGNORED_KEYWORDS: Readonly<Record<string, Check>> = {
  $schema: any,
  $id: any,
  $comment: any,
  title: any,
  description: any,
  default: any,
  examples: any,
  deprecated: any,
  readOnly: any,
  writeOnly: any,
  // OpenAPI's hint at which branch of a `oneOf` is meant; the branches say it themselves.
  discriminator: any,
  propertyNames: onlyStrings,
  nullable: off,
};

/** What to do instead, for keywords that are often met. */
const INSTEAD = new Map(
  Object.entries({
    nullable: 'Write `"type": ["string", "null"]`, or `anyOf` with `{"type": "null"}`.',
    not: 'Say what is allowed instead.',
    if: 'Use `anyOf` with one schema for each case.',
    patternProperties: 'Use `properties`, or `additionalProperties` with a schema for all other names.',
    $anchor: 'Point to a definition by its path: `#/$defs/name`.',
    $dynamicRef: 'Use `$ref`.',
    propertyNames: 'Use `properties`.',
  }),
);

const MAPS = ['properties', '$defs', 'definitions'] as const;
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems'] as const;
const SINGLE = ['items', 'additionalProperties'] as const;

export function refuse(path: string, sentence: string): InferenceError {
  return new InferenceError('invalid_request', sentence, { param: path });
}

/**
 * Reads a schema into nodes: knows every keyword, resolves every `$ref`, and counts what is limited.
 *
 * The draft is 2020-12, with `definitions` as older ones have it. What is neither obeyed nor without consequence is
 * refused by name, in definitions that nothing uses as well.
 *
 * @throws InferenceError `invalid_request`, with the path of the keyword as `param`.
 */
export function readSchema(schema: unknown, where: string): SchemaNode {
  return new SchemaReader(where).read(schema);
}

class SchemaReader {
  /** By JSON pointer, as in `$ref`. */
  readonly #nodes = new Map<string, SchemaNode>();
  #properties = 0;
  #values = 0;
  #characters = 0;

  constructor(private readonly where: string) {}

  read(schema: unknown): SchemaNode {
    const root = this.#node(schema, '', this.where, 0);
    for (const node of this.#nodes.values()) this.#resolve(node);
    return root;
  }

  /** Calls itself for schemas within, at most `depthMax` deep. */
  #node(schema: unknown, pointer: string, path: string, depth: number): SchemaNode {
    const { depthMax, schemasMax } = SCHEMA_LIMITS;
    if (depth > depthMax)
      throw refuse(
        path,
        `The schema is ${depth} levels deep; at most ${depthMax} are possible. Flatten it, or use $ref.`,
      );
    if (this.#nodes.size >= schemasMax)
      throw refuse(
        path,
        `The schema holds more than ${schemasMax} schemas, which is the most. Use $ref for what is repeated.`,
      );
    if (typeof schema !== 'boolean' && !isObject(schema))
      throw refuse(path, 'A schema must be an object, or true or false.');
    const properties = new Map<string, SchemaNode>();
    const children = new Map<string, readonly SchemaNode[]>();
    const node: SchemaNode = { id: this.#nodes.size, path, schema, properties, children, target: undefined };
    this.#nodes.set(pointer, node);
    if (typeof schema === 'boolean') return node;
    this.#checkKeywords(schema, path);
    const below = (value: unknown, ...steps: (string | number)[]) =>
      this.#node(value, pointer + steps.map(pointerStep).join(''), path + steps.map(pathStep).join(''), depth + 1);
    for (const keyword of MAPS) {
      const entries = Object.entries((schema[keyword] ?? {}) as Record<string, unknown>);
      if (keyword === 'properties') {
        this.#countProperties(
          entries.map(([name]) => name),
          `${path}.${keyword}`,
        );
      }
      for (const [name, value] of entries) {
        const child = below(value, keyword, name);
        if (keyword === 'properties') properties.set(name, child);
      }
    }
    for (const keyword of LISTS) {
      const entries = schema[keyword] as unknown[] | undefined;
      if (entries !== undefined)
        children.set(
          keyword,
          entries.map((value, at) => below(value, keyword, at)),
        );
    }
    for (const keyword of SINGLE) {
      if (schema[keyword] !== undefined) children.set(keyword, [below(schema[keyword], keyword)]);
    }
    return node;
  }

  #checkKeywords(schema: Readonly<Record<string, unknown>>, path: string): void {
    for (const [keyword, value] of Object.entries(schema)) {
      const ignored = Object.hasOwn(IGNORED_KEYWORDS, keyword) ? IGNORED_KEYWORDS[keyword] : undefined;
      const check = Object.hasOwn(SUPPORTED_KEYWORDS, keyword) ? SUPPORTED_KEYWORDS[keyword] : ignored;
      if (check === undefined) {
        const name = keyword.length > 100 ? `${keyword.slice(0, 100)}…` : keyword;
        throw refuse(
          path + pathStep(name),
          `The keyword \`${name}\` is not supported. ${INSTEAD.get(name) ?? 'Leave it out.'}`,
        );
      }
      const wrong = check(value);
      if (wrong !== undefined) {
        const instead = ignored === undefined ? '' : ` ${INSTEAD.get(keyword) ?? ''}`;
        throw refuse(`${path}.${keyword}`, `\`${keyword}\` ${wrong}.${instead}`);
      }
    }
    if (Array.isArray(schema.required)) this.#checkRequired(schema, `${path}.required`);
    if (Array.isArray(schema.enum)) this.#countValues(schema.enum, `${path}.enum`);
    if (Object.hasOwn(schema, 'const')) this.#countValues([schema.const], `${path}.const`);
  }

  /** Names that are required without being declared count as properties, too. */
  #checkRequired({ required, properties }: Readonly<Record<string, unknown>>, path: string): void {
    const undeclared = (required as string[]).filter((name) => !Object.hasOwn((properties ?? {}) as object, name));
    this.#countProperties(undeclared, path);
  }

  #countProperties(names: readonly string[], path: string): void {
    this.#properties += names.length;
    const { propertiesMax } = SCHEMA_LIMITS;
    if (this.#properties > propertiesMax) {
      throw refuse(
        path,
        `The schema has at least ${this.#properties} properties; at most ${propertiesMax} are possible. Use fewer.`,
      );
    }
    for (const name of names) {
      if (!name.isWellFormed()) throw refuse(path, 'The name of a property has half a surrogate pair.');
      this.#countCharacters(name, path);
    }
  }

  #countValues(values: readonly unknown[], path: string): void {
    const { enumValuesMax } = SCHEMA_LIMITS;
    this.#values += values.length;
    if (this.#values > enumValuesMax) {
      throw refuse(
        path,
        `The schema lists at least ${this.#values} values; at most ${enumValuesMax} are possible. Use fewer.`,
      );
    }
    for (const value of values) {
      checkValue(value, path);
      this.#countCharacters(value, path);
    }
  }

  #countCharacters(value: unknown, path: string): void {
    this.#characters += JSON.stringify(value).length;
    const { charactersMax } = SCHEMA_LIMITS;
    if (this.#characters <= charactersMax) return;
    throw refuse(
      path,
      `The names of properties and the values listed have at least ${this.#characters} characters together; at most ${charactersMax} are possible. Use fewer or shorter ones.`,
    );
  }

  #resolve(node: SchemaNode): void {
    if (typeof node.schema === 'boolean' || node.schema.$ref === undefined) return;
    const ref = node.schema.$ref as string;
    const path = `${node.path}.$ref`;
    const name = ref.length > 100 ? `${ref.slice(0, 100)}…` : ref;
    if (!ref.startsWith('#')) {
      throw refuse(
        path,
        `\`$ref\` is \`${name}\`; only references within the schema are followed. Put what it means into $defs.`,
      );
    }
    const target = this.#nodes.get(plainPointer(ref));
    if (target === undefined) {
      throw refuse(
        path,
        `\`$ref\` is \`${name}\`, where the schema has no schema. References look like \`#/$defs/name\`.`,
      );
    }
    node.target = target;
  }
}

/** How deep a value in `enum` may be. */
const VALUE_DEPTH_MAX = 32;

/** Without recursion: what is refused may be as deep as it likes. */
function checkValue(value: unknown, path: string): void {
  const open: { readonly value: unknown; readonly depth: number }[] = [{ value, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.depth > VALUE_DEPTH_MAX) throw refuse(path, `A value listed is more than ${VALUE_DEPTH_MAX} levels deep.`);
    if (typeof next.value === 'string' && !next.value.isWellFormed())
      throw refuse(path, 'A value has half a surrogate pair.');
    if (typeof next.value !== 'object' || next.value === null) continue;
    for (const [name, inner] of Object.entries(next.value)) {
      open.push({ value: name, depth: next.depth }, { value: inner, depth: next.depth + 1 });
    }
  }
}

function pointerStep(step: string | number): string {
  return `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** A pointer out of a URI's fragment, in which every character may be escaped. */
function plainPointer(ref: string): string {
  try {
    return decodeURIComponent(ref.slice(1));
  } catch {
    return ref.slice(1);
  }
}

export function pathStep(step: string | number): string {
  if (typeof step === 'number') return `[${step}]`;
  const name = step.length > 60 ? `${step.slice(0, 60)}…` : step;
  return /^[$\w-]+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

export function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? 'undefined';
  return json.length > 60 ? `${json.slice(0, 60)}…` : json;
}
