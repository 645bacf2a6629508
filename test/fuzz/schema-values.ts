import fc from 'fast-check';
import { type OpenApiDocument, resolvePointer, type Schema } from './open-api.ts';

/** What to take for a property of this name rather than what its schema alone allows, most of the time. */
export type Hints = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Of sixty optional parameters a body has few: most pairs of them forbid each other, and then nothing else is tried. */
const OPTIONAL_MAX = 3;
/** A schema with so few may have all of them at once. */
const ALL_OPTIONAL_MAX = 8;
/** These change the form of the whole answer, and so what any other parameter comes to: one body in four has each. */
const OFTEN: ReadonlySet<string> = new Set([
  'stream',
  'logprobs',
  'top_logprobs',
  'echo',
  'stream_options',
  'return_documents',
]);
const OFTEN_ONE_IN = 4;
const ITEMS_MAX = 3;
const TEXT_MAX = 40;
/** Deeper than this only a schema that contains itself goes. */
const DEPTH_MAX = 12;

const WORDS = fc.constantFrom(
  'a',
  'Hello!',
  'What is the capital of France?',
  'the mill',
  'Straße',
  '東京',
  '🦙',
  '1',
  '{}',
);

/** Values that a schema allows: what a client that read the document could send. */
export class SchemaValues {
  readonly #made = new WeakMap<Schema, fc.Arbitrary<unknown>>();
  readonly #document: OpenApiDocument;
  readonly #hints: Hints;

  constructor(document: OpenApiDocument, hints: Hints = {}) {
    this.#document = document;
    this.#hints = hints;
  }

  of(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
    const known = this.#made.get(schema);
    if (known !== undefined) return known;
    const made = this.#make(schema, depth);
    this.#made.set(schema, made);
    return made;
  }

  #make(schema: Schema, depth: number): fc.Arbitrary<unknown> {
    if (depth > DEPTH_MAX) return fc.constant(null);
    const { $ref } = schema;
    // Looked up when it is needed: what it points to may point back.
    if ($ref !== undefined) {
      return fc.constant($ref).chain((pointer) => this.of(resolvePointer(this.#document, pointer), depth + 1));
    }
    if ('const' in schema) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices !== undefined) return this.#oneOf(choices, depth);
    if (schema.allOf !== undefined) {
      const parts = schema.allOf.map((part) => this.of(part, depth + 1));
      return fc.tuple(...parts).map((values) => Object.assign({}, ...values) as unknown);
    }
    const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
    if (types.length === 0) return fc.jsonValue({ maxDepth: 2 });
    return fc.oneof(...types.map((type) => this.#ofType(type, schema, depth)));
  }

  /** Null is allowed nearly everywhere, and says least. */
  #oneOf(choices: readonly Schema[], depth: number): fc.Arbitrary<unknown> {
    return fc.oneof(
      ...choices.map((choice) => ({
        weight: choice.type === 'null' ? 1 : 8,
        arbitrary: this.of(choice, depth + 1),
      })),
    );
  }

  #ofType(type: string, schema: Schema, depth: number): fc.Arbitrary<unknown> {
    switch (type) {
      case 'null':
        return fc.constant(null);
      case 'boolean':
        return fc.boolean();
      case 'integer':
        return integers(schema);
      case 'number':
        return numbers(schema);
      case 'string':
        return strings(schema);
      case 'array':
        return this.#arrays(schema, depth);
      case 'object':
        return this.#objects(schema, depth);
      default:
        throw new Error(`The document has a schema of type ${type}, which the fuzzer does not know.`);
    }
  }

  #arrays({ items = {}, prefixItems, minItems = 0, maxItems = Number.MAX_SAFE_INTEGER }: Schema, depth: number) {
    if (prefixItems !== undefined) return fc.tuple(...prefixItems.map((item) => this.of(item, depth + 1)));
    return fc.array(this.of(items, depth + 1), {
      minLength: minItems,
      maxLength: Math.min(maxItems, minItems + ITEMS_MAX),
    });
  }

  #objects(schema: Schema, depth: number): fc.Arbitrary<unknown> {
    const { properties = {}, required = [], additionalProperties, propertyNames } = schema;
    const field = (name: string) => this.#field(name, properties[name] ?? {}, depth);
    const record = (names: readonly string[]) =>
      fc.record(Object.fromEntries(names.map((name) => [name, field(name)]))) as fc.Arbitrary<object>;
    const optional = Object.keys(properties).filter((name) => !required.includes(name));
    const some =
      optional.length === 0
        ? fc.constant({})
        : fc
            .tuple(
              fc.uniqueArray(fc.constantFrom(...optional), {
                maxLength: optional.length <= ALL_OPTIONAL_MAX ? optional.length : OPTIONAL_MAX,
              }),
              subsetOf(optional.filter((name) => OFTEN.has(name))),
            )
            .chain(([few, often]) => record([...new Set([...few, ...often])]));
    const more =
      typeof additionalProperties === 'object'
        ? fc.dictionary(
            this.of(propertyNames ?? { type: 'string', maxLength: 20 }, depth + 1) as fc.Arbitrary<string>,
            this.of(additionalProperties, depth + 1),
            { maxKeys: 3 },
          )
        : fc.constant({});
    return fc.tuple(more, record(required), some).map((parts) => Object.assign({}, ...parts) as object);
  }

  #field(name: string, schema: Schema, depth: number): fc.Arbitrary<unknown> {
    const hint = Object.hasOwn(this.#hints, name) ? this.#hints[name] : undefined;
    const bySchema = this.of(schema, depth + 1);
    if (hint === undefined) return bySchema;
    return fc.oneof({ weight: 9, arbitrary: hint }, { weight: 1, arbitrary: bySchema });
  }
}

function subsetOf(names: readonly string[]): fc.Arbitrary<string[]> {
  const draws = fc.array(fc.nat(OFTEN_ONE_IN - 1), { minLength: names.length, maxLength: names.length });
  return draws.map((drawn) => names.filter((_, at) => drawn[at] === 0));
}

function integers({ minimum = -1_000, maximum: most = 1_000_000, exclusiveMinimum }: Schema): fc.Arbitrary<number> {
  // A seed has 64 bits. Beyond a double's 53 the generator would draw for ever.
  const maximum = Math.min(most, Number.MAX_SAFE_INTEGER);
  const least = Math.max(minimum, exclusiveMinimum === undefined ? minimum : exclusiveMinimum + 1);
  const min = Math.max(least, Number.MIN_SAFE_INTEGER);
  const small = fc.integer({ min, max: Math.min(maximum, min + 20) });
  return fc.oneof({ weight: 4, arbitrary: small }, { weight: 1, arbitrary: fc.integer({ min, max: maximum }) });
}

function numbers({ minimum, maximum = 1e6, exclusiveMinimum }: Schema): fc.Arbitrary<number> {
  const min = minimum ?? exclusiveMinimum ?? -1e6;
  return fc.oneof(
    fc.double({ min, max: maximum, noNaN: true, minExcluded: exclusiveMinimum !== undefined }),
    fc.constantFrom(minimum ?? maximum, maximum),
  );
}

function strings({ format, pattern, minLength = 0, maxLength = TEXT_MAX }: Schema): fc.Arbitrary<string> {
  if (format === 'date') return fc.constantFrom('2026-01-31', '2024-02-29', '1970-01-01', '9999-12-31');
  if (pattern !== undefined) return matching(pattern);
  const any = fc.string({ unit: 'grapheme', minLength, maxLength: Math.max(minLength, Math.min(maxLength, TEXT_MAX)) });
  const words = WORDS.filter((word) => word.length >= minLength && word.length <= maxLength);
  return fc.oneof({ weight: 3, arbitrary: words }, { weight: 1, arbitrary: any });
}

/** fast-check reads most patterns; where it does not know a class of characters, a word will do. */
function matching(pattern: string): fc.Arbitrary<string> {
  if (/\\p/i.test(pattern)) return WORDS;
  return fc.stringMatching(new RegExp(pattern), { size: 'small' });
}
