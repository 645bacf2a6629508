import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COMPILED_GBNF_LIMITS } from '../../token-engine/gbnf/gbnf.js';
import { GbnfWalk } from '../../token-engine/gbnf/gbnf-walk.js';
import { randomText } from '../../token-engine/gbnf/random-text.testing.js';
import { readGbnf } from '../../token-engine/gbnf/read-gbnf.js';
import { compileSchema } from './compile-schema.js';
import { plainSchema } from './plain-schema.js';

// As servers of tools have it: what a format means is not checked where nobody has defined it.
const ajv = new Ajv2020({ strict: false, unicodeRegExp: true, logger: false });
addFormats.default(ajv);

const of = (properties: object, more: object = {}) => ({ type: 'object', properties, ...more });
const TEXT = { type: 'string' };

/** A schema as programs write it, its values, and what is none (or not written, though it is one). */
const WRITTEN: Record<string, [schema: object, values: unknown[], others: unknown[]]> = {
  'formats that nobody defined': [
    of({ a: { type: 'integer', format: 'int64' }, b: { type: 'string', format: 'password' } }),
    [{ a: 1, b: 'x' }, { a: -90_000_009_000 }],
    [{ a: 'x' }],
  ],
  'whole numbers of 32 bits': [
    of({ a: { type: 'integer', format: 'int32' }, b: { type: 'integer', format: 'int32', minimum: 7 } }),
    [{ a: 1 }, { a: -2_147_483_648 }, { a: 2_147_483_647, b: 7 }],
    [{ a: 2_147_483_648 }, { a: -90_000_009_000_000_000 }, { b: 6 }],
  ],
  'hints of other programs': [
    { ...of({ a: { ...TEXT, 'x-order': 1, example: 'x', contentEncoding: 'base64' } }), strict: true, id: 'b' },
    [{ a: 'x' }],
    [{ a: 1 }],
  ],
  'null for what is absent': [{ ...of({ a: { enum: ['b'], pattern: null } }), required: null }, [{}], [{ a: null }]],
  'a property with the name of a keyword': [
    of({ not: TEXT, format: TEXT }),
    [{ not: 'a', format: 'b' }],
    [{ not: {} }],
  ],
  "OpenAPI's nullable": [of({ a: { type: 'integer', nullable: true } }), [{ a: null }, { a: 1 }], [{ a: 'x' }]],
  'a branch that is never taken': [of({ a: { anyOf: [{ not: {} }, TEXT] } }), [{ a: 'x' }, {}], [{ a: 1 }]],
  "draft 4's bounds": [
    of({ a: { type: 'integer', minimum: 0, exclusiveMinimum: true, maximum: 3, exclusiveMaximum: false } }),
    [{ a: 1 }, { a: 3 }],
    [{ a: 0 }, { a: 4 }],
  ],
  "draft 7's tuples": [
    of({ a: { items: [{ type: 'number' }, TEXT], additionalItems: false, minItems: 2 } }),
    [{ a: [1, 'x'] }],
    [{ a: [1] }, { a: [1, 'x', 1] }],
  ],
  'lengths that nothing reaches': [of({ a: { ...TEXT, maxLength: 5_000_000 } }), [{ a: 'x' }], [{ a: 1 }]],
  'expressions that escape too much': [
    of({ a: { ...TEXT, pattern: '\\A[a-z\\_\\-]+\\@(?P<b>b)\\Z' } }),
    [{ a: 'a_-@b' }],
    [{ a: 'A@b' }, { a: 'a@bb' }],
  ],
  'records by a pattern': [
    { type: 'object', patternProperties: { '^(.*)$': { type: 'integer' } } },
    [{}, { a: 1, b: 2 }],
    [{ a: 'x' }],
  ],
  'patterns beside properties': [
    of({ a: TEXT, 'x-b': {} }, { patternProperties: { '^x-': { type: 'integer' } } }),
    [{ a: 'x', 'x-b': 1 }],
    [{ 'x-b': 'x' }, { 'x-c': 'x' }],
  ],
  'records by a list of names': [
    { type: 'object', propertyNames: { enum: ['a', 'b'] }, additionalProperties: TEXT, required: ['a'] },
    [{ a: 'x' }, { a: 'x', b: 'y' }],
    [{}, { a: 'x', c: 'x' }],
  ],
  'a number of properties that is never more': [
    of({ a: TEXT, b: TEXT }, { maxProperties: 2 }),
    [{ a: 'x' }],
    [{ c: 1 }],
  ],
  'at least one property': [of({ a: TEXT, b: TEXT }, { minProperties: 1 }), [{ a: 'x' }, { b: 'y' }], [{}]],
  'at least those that are required': [of({ a: TEXT }, { minProperties: 1, required: ['a'] }), [{ a: 'x' }], [{}]],
  'nothing that is not evaluated': [of({ a: TEXT }, { unevaluatedProperties: false }), [{ a: 'x' }, {}], [{ b: 1 }]],
  'a set out of a list': [
    of({ a: { items: { enum: ['p', 'q', 1] }, uniqueItems: true, minItems: 1 } }),
    [{ a: ['p'] }, { a: ['p', 1] }, { a: ['p', 'q', 1] }],
    [{ a: [] }, { a: ['p', 'p'] }],
  ],
  'a set of a size': [
    of({ a: { items: { enum: ['p', 'q', 'r', 's'] }, uniqueItems: true, minItems: 2, maxItems: 3 } }),
    [{ a: ['p', 's'] }, { a: ['p', 'q', 's'] }],
    [{ a: ['p'] }, { a: ['p', 'q', 'r', 's'] }, { a: ['q', 'q'] }],
  ],
  'one of two properties': [
    of({ a: TEXT, b: TEXT, c: TEXT }, { oneOf: [{ required: ['a'] }, { required: ['b'] }] }),
    [{ a: 'x' }, { b: 'x', c: 'y' }],
    [{}, { a: 'x', b: 'x' }, { c: 'x' }],
  ],
  'one of two objects': [
    of({ a: { oneOf: [of({ p: TEXT }, { required: ['p'] }), of({ q: TEXT }, { required: ['q'] })] } }),
    [{ a: { p: 'x' } }, { a: { q: 'x', r: 1 } }],
    [{ a: {} }, { a: { p: 'x', q: 'x' } }],
  ],
};

describe.each(Object.entries(WRITTEN))('%s', (_, [schema, values, others]) => {
  const gbnf = readGbnf(compileSchema(plainSchema(schema), 'schema'), COMPILED_GBNF_LIMITS);
  const isWritten = (value: unknown) => {
    const walk = new GbnfWalk(gbnf);
    return walk.accept(Buffer.from(JSON.stringify(value))) && walk.complete;
  };

  it('allows what is meant', () => {
    expect(values.filter((value) => !isWritten(value))).toEqual([]);
    expect(others.filter(isWritten)).toEqual([]);
  });

  it('allows nothing that the schema itself does not', () => {
    // Spelled as older drafts and OpenAPI do, what ajv can't compile has its values above.
    const validate = compiledBy(schema);
    if (validate === undefined) return;
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (stream) => {
        const text = randomText(gbnf, () => stream.next().value as number, 60)!;
        expect([text, validate(JSON.parse(text))]).toEqual([text, true]);
      }),
      { numRuns: 60 },
    );
  });
});

function compiledBy(schema: object) {
  try {
    return ajv.compile(schema);
  } catch {
    return undefined;
  }
}

describe('what a value must obey and no grammar says', () => {
  it.each([
    [of({ a: { ...TEXT, not: { const: 'x' } } }), 'properties.a.not'],
    [of({ a: { type: 'array', items: TEXT, uniqueItems: true } }), 'properties.a.uniqueItems'],
    [of({ a: TEXT, b: TEXT, c: TEXT }, { minProperties: 2 }), 'minProperties'],
    [of({ a: TEXT, b: TEXT }, { maxProperties: 1 }), 'maxProperties'],
    [of({ a: TEXT }, { if: { required: ['a'] } }), 'if'],
    [of({ a: { oneOf: [{ type: 'string' }, { type: 'string', format: 'uri' }] } }), 'properties.a.oneOf'],
    [{ type: 'object', patternProperties: { '^S_': TEXT }, additionalProperties: false }, 'patternProperties'],
    [{ type: 'object', propertyNames: { pattern: '^a' } }, 'propertyNames'],
  ])('is refused by its name: %j', (schema, path) => {
    expect(() => compileSchema(plainSchema(schema), 'schema')).toThrow(
      expect.objectContaining({ details: { param: `schema.${path}` } }),
    );
  });

  it('is left to the reader where it is too deep', () => {
    let deep: object = { type: 'string' };
    for (let level = 0; level < 5_000; level++) deep = { type: 'array', items: deep };
    expect(() => compileSchema(plainSchema(deep), 'schema')).toThrow(/levels deep/);
  });
});
