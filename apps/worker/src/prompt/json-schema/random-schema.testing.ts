import fc from 'fast-check';

type Schema = Record<string, unknown>;

/** A schema out of the supported part, and a value that it allows, with properties in their order. */
export interface SchemaWithValue {
  readonly schema: Schema;
  readonly value: unknown;
}

const NAMES = ['a', 'b', 'ab', 'name', 'é', 'x y', 'q"', 'n\n', '1', 'item'];

const words = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' ', 'ä', '😀', '"', '\\', '\n'), maxLength: 8 });

const strings: fc.Arbitrary<SchemaWithValue> = fc.oneof(
  words.map((value) => ({ schema: { type: 'string' }, value })),
  fc.tuple(words, fc.nat(2), fc.nat(3)).map(([value, below, above]) => {
    const length = [...value].length;
    return { schema: { type: 'string', minLength: Math.max(0, length - below), maxLength: length + above }, value };
  }),
  fc
    .tuple(
      fc.constantFrom(
        ['^[a-c]+\\d?$', 'abca1'],
        ['b', 'abc'],
        ['^(?!x)\\w{2,}$', 'ab_1'],
        ['^\\p{L}*$', 'äbc'],
        ['(cat|dog)s?', 'two dogs'],
      ),
      fc.boolean(),
    )
    .map(([[pattern, value], bounded]) => ({
      schema: { type: 'string', pattern, ...(bounded ? { minLength: [...value!].length, maxLength: 12 } : {}) },
      value,
    })),
  fc
    .constantFrom(
      ['date-time', '2024-02-29T01:02:03.5Z'],
      ['date', '1999-12-31'],
      ['time', '01:02:03+01:00'],
      ['duration', 'P1DT2H'],
      ['email', 'a.b@c.de'],
      ['hostname', 'a-b.example.com'],
      ['ipv4', '10.0.0.255'],
      ['ipv6', 'fe80::1:2'],
      ['uuid', '00000000-0000-4000-8000-00000000000a'],
      ['uri', 'https://example.com/a?b#c'],
    )
    .map(([format, value]) => ({ schema: { type: 'string', format }, value })),
);

const integers: fc.Arbitrary<SchemaWithValue> = fc
  .tuple(
    fc.integer({ min: -1_500, max: 1_500 }),
    fc.nat(40),
    fc.nat(2_000),
    fc.constantFrom('both', 'min', 'max', 'none', 'multiple'),
  )
  .map(([value, below, above, kind]) => {
    const min = { minimum: value - below };
    const max = { exclusiveMaximum: value + above + 1 };
    switch (kind) {
      case 'both':
        return { schema: { type: 'integer', ...min, ...max }, value };
      case 'min':
        return { schema: { type: 'integer', ...min }, value };
      case 'max':
        return { schema: { type: 'integer', ...max }, value };
      case 'multiple':
        return { schema: { type: 'integer', multipleOf: below + 1 }, value: value * (below + 1) + 0 };
      default:
        return { schema: { type: 'integer' }, value };
    }
  });

const numbers: fc.Arbitrary<SchemaWithValue> = fc
  .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.nat(3_000), fc.nat(3_000), fc.boolean(), fc.boolean())
  .map(([hundredths, below, above, lower, upper]) => ({
    schema: {
      type: 'number',
      ...(lower ? { minimum: (hundredths - below) / 100 } : {}),
      ...(upper ? { maximum: (hundredths + above) / 100 } : {}),
    },
    value: hundredths / 100,
  }));

const plain: fc.Arbitrary<SchemaWithValue> = fc.oneof(
  strings,
  integers,
  numbers,
  fc.boolean().map((value) => ({ schema: { type: 'boolean' }, value })),
  fc.constant({ schema: { type: 'null' }, value: null }),
  fc.constantFrom(1, 'x', null, 'y"').map((value) => ({ schema: { enum: ['other', value, 2.5] }, value })),
  words.map((value) => ({ schema: { const: value }, value })),
  fc
    .json({ maxDepth: 2 })
    .filter((json) => !/e[+-]\d{3}/.test(json))
    .map((json) => ({ schema: {}, value: JSON.parse(json) as unknown })),
);

/** Schemas up to three levels deep. */
export const schemasWithValues: fc.Arbitrary<SchemaWithValue> = fc.letrec<{ any: SchemaWithValue }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    plain,
    objects(tie('any')),
    arrays(tie('any')),
    fc
      .tuple(tie('any'), tie('any'))
      .map(([chosen, other]) => ({ schema: { anyOf: [other.schema, chosen.schema] }, value: chosen.value })),
    tie('any').map(({ schema, value }) => ({ schema: { allOf: [schema], title: 'all' }, value })),
    tie('any').map(({ schema, value }) => ({
      schema: { type: 'array', items: { anyOf: [{ type: 'null' }, schema] }, minItems: 1 },
      value: [null, value],
    })),
  ),
})).any;

function objects(inner: fc.Arbitrary<SchemaWithValue>): fc.Arbitrary<SchemaWithValue> {
  const property = fc.record({ inner, present: fc.boolean(), required: fc.boolean() });
  const more = fc.option(inner, { nil: undefined });
  return fc
    .tuple(
      fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 5 }),
      fc.array(property, { minLength: 5, maxLength: 5 }),
      more,
      fc.boolean(),
    )
    .map(([names, properties, extra, closed]) => {
      // Names that are numbers come first in every object of JavaScript, in the schema as in the value.
      const entries = names
        .map((name, at) => ({ name, ...properties[at]! }))
        .sort((a, b) => Number(b.name === '1') - Number(a.name === '1'));
      const present = entries.filter(({ present, required }) => present || required);
      const value = Object.fromEntries(present.map(({ name, inner }) => [name, inner.value]));
      return {
        schema: {
          type: 'object',
          properties: Object.fromEntries(entries.map(({ name, inner }) => [name, inner.schema])),
          required: entries.flatMap(({ name, required }) => (required ? [name] : [])),
          ...(closed
            ? { additionalProperties: false }
            : extra === undefined
              ? {}
              : { additionalProperties: extra.schema }),
        },
        value: closed || extra === undefined ? value : { ...value, another: extra.value },
      };
    });
}

function arrays(inner: fc.Arbitrary<SchemaWithValue>): fc.Arbitrary<SchemaWithValue> {
  return fc.oneof(
    fc.tuple(inner, fc.nat(4), fc.nat(2), fc.nat(2)).map(([{ schema, value }, length, below, above]) => ({
      schema: { type: 'array', items: schema, minItems: Math.max(0, length - below), maxItems: length + above },
      value: Array.from({ length }, () => value),
    })),
    fc
      .array(inner, { maxLength: 3 })
      .filter(({ length }) => length > 0)
      .map((places) => ({
        schema: {
          type: 'array',
          prefixItems: places.map(({ schema }) => schema),
          items: false,
          minItems: places.length,
        },
        value: places.map(({ value }) => value),
      })),
  );
}
