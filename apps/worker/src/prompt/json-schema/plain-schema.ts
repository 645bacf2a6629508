import { FORMATS } from './formats.js';
import { IGNORED_KEYWORDS, SUPPORTED_KEYWORDS } from './read-schema.js';
import { SCHEMA_LIMITS } from './schema-limits.js';

type Keywords = Record<string, unknown>;

/**
 * A tool's schema in the words that `readSchema` knows. Tools come from many programs, whose users can't change them, so what
 * is only a hint is left out here, other ways to say a thing are read as what they mean, and some keywords are obeyed by
 * allowing less. What every value must obey stays: it is refused later if it can't be expressed.
 *
 * All values of the result obey the schema as ajv reads it, OpenAPI's `nullable` included. Paths stay as they are.
 */
export function plainSchema(schema: unknown): unknown {
  return plain(schema, 0);
}

function plain(schema: unknown, depth: number): unknown {
  // Deeper ones are refused when they are read.
  if (!isObject(schema) || depth > SCHEMA_LIMITS.depthMax) return schema;
  if (schema.not === true || (isObject(schema.not) && Object.keys(schema.not).length === 0)) return false;
  const written: Keywords = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (says(keyword, value)) written[keyword] = below(keyword, value, depth + 1);
  }
  return REWRITES.reduce((so, rewrite) => rewrite(so), written);
}

/** Keywords that a value must obey, and that are not expressed, or only where they are rewritten. All others are hints. */
const DEMANDS = new Set([
  ...['not', 'if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies', 'extends', 'disallow'],
  ...['patternProperties', 'propertyNames', 'maxProperties', 'unevaluatedProperties'],
  ...['contains', 'minContains', 'maxContains', 'additionalItems', 'unevaluatedItems', 'nullable'],
  ...['$dynamicRef', '$recursiveRef', '$anchor', '$dynamicAnchor'],
]);

/** Whether a keyword says anything. `null` stands for what is absent, as some programs write it. */
function says(keyword: string, value: unknown): boolean {
  if (keyword === 'const') return true;
  if (Object.hasOwn(IGNORED_KEYWORDS, keyword) && !DEMANDS.has(keyword)) return true;
  const known = Object.hasOwn(SUPPORTED_KEYWORDS, keyword) || DEMANDS.has(keyword);
  if (!known || value === null) return false;
  // A format that nobody has defined is a hint, such as OpenAPI's `password`.
  return keyword !== 'format' || typeof value !== 'string' || FORMATS.has(value) || value === INT32;
}

/** Of OpenAPI's formats of numbers the one that is a range: https://spec.openapis.org/registry/format/int32. */
const INT32 = 'int32';
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

const SCHEMAS_BY_NAME = new Set(['properties', 'patternProperties', '$defs', 'definitions']);
const SCHEMAS = new Set([
  ...['items', 'additionalProperties', 'additionalItems', 'propertyNames'],
  ...['anyOf', 'oneOf', 'allOf', 'prefixItems'],
]);

function below(keyword: string, value: unknown, depth: number): unknown {
  if (SCHEMAS_BY_NAME.has(keyword) && isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner, depth)]));
  }
  if (!SCHEMAS.has(keyword)) return value;
  return Array.isArray(value) ? value.map((inner) => plain(inner, depth)) : plain(value, depth);
}

const REWRITES: readonly ((schema: Keywords) => Keywords)[] = [
  nullable,
  tuple,
  exclusiveBound('exclusiveMinimum', 'minimum'),
  exclusiveBound('exclusiveMaximum', 'maximum'),
  int32,
  shortened,
  usualPattern,
  namedProperties,
  patternedProperties,
  countedProperties,
  closedProperties,
  ({ not, ...schema }) => (not === undefined || not === false ? schema : { ...schema, not }),
];

/** OpenAPI 3.0's, which speaks only where there is a type. */
function nullable({ nullable, ...schema }: Keywords): Keywords {
  const { type } = schema;
  return nullable === true && typeof type === 'string' ? { ...schema, type: [type, 'null'] } : schema;
}

/** A schema for each place, as drafts before 2020-12 have it. */
function tuple({ additionalItems, ...schema }: Keywords): Keywords {
  const { items } = schema;
  if (!Array.isArray(items)) return schema;
  const { items: _, ...rest } = schema;
  const places = items.length === 0 ? {} : { prefixItems: items };
  return { ...rest, ...places, ...(additionalItems === undefined ? {} : { items: additionalItems }) };
}

/** Draft 4 has a boolean beside the bound. */
function exclusiveBound(exclusive: string, inclusive: string): (schema: Keywords) => Keywords {
  return (schema) => {
    if (typeof schema[exclusive] !== 'boolean') return schema;
    const { [exclusive]: excludes, [inclusive]: bound, ...rest } = schema;
    return bound === undefined ? rest : { ...rest, [excludes ? exclusive : inclusive]: bound };
  };
}

/** A format of numbers, written as the range that it is. */
function int32({ format, ...schema }: Keywords): Keywords {
  if (format === undefined) return schema;
  if (format !== INT32) return { ...schema, format };
  const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  if (type !== 'integer') return schema;
  return {
    ...schema,
    ...(isAbove(exclusiveMinimum ?? minimum, INT32_MIN) ? {} : { minimum: INT32_MIN }),
    ...(isBelow(exclusiveMaximum ?? maximum, INT32_MAX) ? {} : { maximum: INT32_MAX }),
  };
}

function isAbove(bound: unknown, least: number): boolean {
  return typeof bound === 'number' && bound >= least;
}

function isBelow(bound: unknown, most: number): boolean {
  return typeof bound === 'number' && bound <= most;
}

/** Lengths that nothing reaches. */
function shortened(schema: Keywords): Keywords {
  const { lengthMax } = SCHEMA_LIMITS;
  const longer = ['maxLength', 'maxItems'].filter((keyword) => Number(schema[keyword]) > lengthMax);
  return longer.length === 0 ? schema : { ...schema, ...Object.fromEntries(longer.map((name) => [name, lengthMax])) };
}

/** Expressions of Python, and such as escape what needs no escape, which the flag `u` forbids. */
function usualPattern(schema: Keywords): Keywords {
  const { pattern } = schema;
  if (typeof pattern !== 'string' || isPattern(pattern)) return schema;
  const usual = pattern
    .replaceAll('(?P<', '(?<')
    .replace(/\\([\s\S])/g, (escaped, character: string) => USUAL_ESCAPES.get(character) ?? escaped);
  return isPattern(usual) ? { ...schema, pattern: usual } : schema;
}

const USUAL_ESCAPES = new Map([
  ['A', '^'],
  ['Z', '$'],
  ['-', '\\x2d'],
  ...[...'_\'"@#%&=:;,<>!~` '].map((character): [string, string] => [character, character]),
]);

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch {
    return false;
  }
}

/** Records whose names are listed: zod's `record(enum, …)`. Each becomes a property. */
function namedProperties(schema: Keywords): Keywords {
  const { propertyNames, ...rest } = schema;
  const names = isObject(propertyNames) ? propertyNames.enum : undefined;
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string') || bringsProperties(rest))
    return schema;
  const { additionalProperties: value = true } = rest;
  return {
    ...rest,
    properties: Object.fromEntries(names.map((name) => [name, value])),
    additionalProperties: false,
  };
}

/** Patterns that every name matches say what others are; else nothing is left to others, and each is kept where it is declared. */
function patternedProperties(schema: Keywords): Keywords {
  const { patternProperties, ...rest } = schema;
  if (!isObject(patternProperties)) return schema;
  const patterns = Object.entries(patternProperties);
  if (patterns.length === 0) return rest;
  const { additionalProperties: others = true } = rest;
  if (others === true && patterns.length === 1 && MATCHES_ALL.has(patterns[0]![0]) && rest.properties === undefined) {
    return { ...rest, additionalProperties: patterns[0]![1] };
  }
  if (!isObject(rest.properties) || bringsProperties(rest, ['properties'])) return schema;
  if (!patterns.every(([pattern]) => isPattern(pattern))) return schema;
  const properties = Object.entries(rest.properties).map(([name, value]) => {
    const more = patterns.filter(([pattern]) => new RegExp(pattern, 'u').test(name)).map(([, inner]) => inner);
    return [name, more.length === 0 ? value : { allOf: [value, ...more] }];
  });
  return { ...rest, properties: Object.fromEntries(properties), additionalProperties: false };
}

/** What `TypeBox` and others write for records. */
const MATCHES_ALL: ReadonlySet<string> = new Set(['', '.*', '^.*', '^.*$', '^(.*)$', '^.*?$', '.+', '^.+$', '^(.+)$']);

/** No more than are declared, where these may all be there. */
function countedProperties(schema: Keywords): Keywords {
  const { maxProperties, ...rest } = schema;
  if (typeof maxProperties !== 'number' || !isObject(rest.properties)) return schema;
  if (bringsProperties(rest, ['properties']) || Object.keys(rest.properties).length > maxProperties) return schema;
  return { ...rest, additionalProperties: false };
}

/** Without references and branches beside it, `unevaluatedProperties` says what `additionalProperties` does. */
function closedProperties(schema: Keywords): Keywords {
  const { unevaluatedProperties, ...rest } = schema;
  if (unevaluatedProperties !== false || bringsProperties(rest, ['properties'])) return schema;
  return { additionalProperties: false, ...rest };
}

/** Whether there may be other properties than those of a list. */
function bringsProperties(schema: Keywords, but: readonly string[] = []): boolean {
  return ['properties', 'anyOf', 'oneOf', 'allOf', '$ref'].some(
    (keyword) => !but.includes(keyword) && Object.hasOwn(schema, keyword),
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
