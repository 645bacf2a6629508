import { InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { COMPILED_GBNF_LIMITS } from '../../token-engine/gbnf/gbnf.js';
import { GbnfWalk } from '../../token-engine/gbnf/gbnf-walk.js';
import { readGbnf } from '../../token-engine/gbnf/read-gbnf.js';
import { compileSchema, jsonObjectGrammar } from './compile-schema.js';
import { SCHEMA_LIMITS } from './schema-limits.js';

const WHERE = 'response_format.json_schema.schema';

function walkOf(schema: unknown): GbnfWalk {
  return new GbnfWalk(readGbnf(compileSchema(schema, WHERE), COMPILED_GBNF_LIMITS));
}

function allowed(schema: unknown, texts: readonly unknown[]): unknown[] {
  const begin = walkOf(schema);
  return texts.filter((text) => {
    const walk = begin.clone();
    return walk.accept(Buffer.from(typeof text === 'string' ? text : JSON.stringify(text))) && walk.complete;
  });
}

/** Each of `yes` is allowed and none of `no`; values stand for their JSON, strings for themselves. */
function expectAllowed(schema: unknown, yes: readonly unknown[], no: readonly unknown[]): void {
  expect(allowed(schema, [...yes, ...no])).toEqual(yes);
}

const quoted = (text: string) => JSON.stringify(text);

function refusal(schema: unknown): { message: string; param: string } {
  try {
    compileSchema(schema, WHERE);
  } catch (error) {
    expect(error).toBeInstanceOf(InferenceError);
    const { code, message, details } = error as InferenceError;
    expect(code).toBe('invalid_request');
    return { message, param: details.param! };
  }
  throw new Error('The schema was compiled.');
}

describe('an object', () => {
  const person = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      age: { type: 'integer' },
      tags: { type: 'array', items: { type: 'string' } },
    },
    required: ['name', 'tags'],
    additionalProperties: false,
  };

  it('has its required properties, and may leave out the others', () => {
    expectAllowed(
      person,
      [
        { name: 'a', age: 1, tags: [] },
        { name: 'a', tags: ['x', 'y'] },
      ],
      [
        { name: 'a' },
        { age: 1, tags: [] },
        { tags: [], name: 'a' },
        { name: 1, tags: [] },
        { name: 'a', tags: [], more: 1 },
        {},
      ],
    );
  });

  it('may be written with blanks and indentation, but not with blanks for ever', () => {
    expectAllowed(
      person,
      [
        JSON.stringify({ name: 'a', tags: ['x', 'y'] }, null, 2),
        '{ "name": "a", "tags": [] }',
        '{"name":"a","tags":[\n]}',
      ],
      ['{  "name":"a","tags":[]}', '{"name":"a","tags":[]} ', '{"name":"a",\n\n"tags":[]}'],
    );
  });

  it('may have other properties unless it is told otherwise, none of which is a declared one in disguise', () => {
    expectAllowed(
      {
        type: 'object',
        properties: { a: { type: 'integer' }, ab: { type: 'null' }, 'q"\n': { type: 'null' } },
        required: ['a'],
      },
      [
        { a: 1 },
        { a: 1, ab: null },
        { a: 1, b: [{}], abc: 'x' },
        { a: 1, '': 1, aa: 2 },
        { a: 1, 'q"\n': null, 'q"\n\n': 1, 'q"': 2, '\u0000': 1, '\\': 2 },
      ],
      [
        '{"a":1,"a":"x"}',
        '{"a":1,"\\u0061":"x"}',
        { a: 1, ab: 1 },
        { b: 1 },
        '{"a":1,"b":1,"ab":null}',
        { a: 1, 'q"\n': 1 },
      ],
    );
  });

  it('holds other properties to their schema', () => {
    const schema = {
      type: 'object',
      properties: { id: { type: 'string' } },
      additionalProperties: { type: 'boolean' },
    };
    expectAllowed(schema, [{}, { id: 'x' }, { id: 'x', a: true }, { a: true, b: false }], [{ id: true }, { a: 1 }]);
  });

  it('may require a name that it does not declare', () => {
    const open = { type: 'object', properties: { a: {} }, required: ['b'] };
    expectAllowed(open, [{ b: 1 }, { a: 1, b: 2, c: 3 }], [{ a: 1 }, {}]);
    const closed = { type: 'object', required: ['b'], additionalProperties: { type: 'null' } };
    expectAllowed(closed, [{ b: null }], [{ b: 1 }]);
  });

  it('leaves out what may not be', () => {
    const schema = { type: 'object', properties: { a: false, b: { type: 'null' } }, additionalProperties: false };
    expectAllowed(schema, [{}, { b: null }], [{ a: 1 }, { a: null, b: null }]);
  });

  it('is any object for json_object', () => {
    const walk = (text: string) => {
      const walk = new GbnfWalk(readGbnf(jsonObjectGrammar()));
      return walk.accept(Buffer.from(text)) && walk.complete;
    };
    for (const text of ['{}', '{"a":[1,-2.5e+3,"\\u00e4\\ud83d\\ude00😀",{"b":[]},true,null]}'])
      expect(walk(text)).toBe(true);
    for (const text of ['[]', '1', '{"a":"\\ud83d"}', '{"a":01}', '{"a":1,}', '{"a":"\n"}'])
      expect(walk(text)).toBe(false);
  });
});

describe('an array', () => {
  it('has as many items as it may have', () => {
    const schema = { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 };
    expectAllowed(schema, ['[1,2]', '[1, 2,\n  3\n]'], ['[1]', '[]', '[1,2,3,4]', '[1,"a"]']);
    expectAllowed({ type: 'array', maxItems: 0 }, ['[]', '[\n]'], ['[1]']);
    expectAllowed({ type: 'array', items: { type: 'null' }, minItems: 1 }, ['[null]', '[null,null]'], ['[]']);
  });

  it('may be long', () => {
    const begin = walkOf({ type: 'array', items: { type: 'integer' }, minItems: 1_500, maxItems: 4_200 });
    const lengthAllowed = (length: number) => {
      const walk = begin.clone();
      return walk.accept(Buffer.from(JSON.stringify(Array.from({ length }, () => 7)))) && walk.complete;
    };
    expect([1_499, 1_500, 1_501, 2_600, 4_199, 4_200, 4_201].filter(lengthAllowed)).toEqual([
      1_500, 1_501, 2_600, 4_199, 4_200,
    ]);
  });

  it('may have a schema for each place', () => {
    const places = [{ type: 'string' }, { type: 'integer' }];
    expectAllowed(
      { type: 'array', prefixItems: places, items: false },
      ['[]', '["a"]', '["a",1]'],
      ['[1]', '["a",1,2]'],
    );
    expectAllowed(
      { type: 'array', prefixItems: places, items: { type: 'null' }, minItems: 2, maxItems: 3 },
      ['["a",1]', '["a",1,null]'],
      ['["a"]', '["a",1,null,null]', '["a",1,2]'],
    );
    expectAllowed({ type: 'array', prefixItems: places, maxItems: 1 }, ['[]', '["a"]'], ['["a",1]']);
  });
});

describe('a string', () => {
  it('has as many characters as it may have, however they are written', () => {
    expectAllowed(
      { type: 'string', minLength: 1, maxLength: 2 },
      ['"a"', '"\\u00e4b"', '"😀\\n"', '"\\ud83d\\ude00"'],
      ['""', '"abc"'],
    );
    expectAllowed({ type: 'string', minLength: 2 }, ['"ab"', '"abc"'], ['"a"']);
  });

  it('holds its pattern, its lengths and its format at once', () => {
    expectAllowed({ type: 'string', pattern: '^[a-z]+$', maxLength: 3 }, ['"a"', '"abc"'], ['""', '"abcd"', '"A"']);
    expectAllowed({ type: 'string', pattern: 'b' }, ['"b"', '"abc"', '"\\"b\\n"'], ['"a"', '"\\u0062"']);
    expectAllowed(
      { type: 'string', format: 'email', pattern: '@example\\.com$', maxLength: 15 },
      ['"ab@example.com"'],
      ['"ab@example.org"', '"abcd@example.com"'],
    );
    expectAllowed({ type: 'string', pattern: '^["\\\\\\n\\u0001]{4}$' }, ['"\\"\\\\\\n\\u0001"'], ['"aaaa"']);
  });

  it.each([
    [
      'date-time',
      ['2024-02-29T23:59:59Z', '1999-12-31T00:00:00.123+02:00'],
      ['2023-02-29T00:00:00Z', '2024-01-01 00:00:00Z', '2024-01-01T24:00:00Z'],
    ],
    ['date', ['2000-02-29', '2024-04-30'], ['1900-02-29', '2024-04-31', '2024-13-01']],
    ['time', ['12:30:00Z', '23:59:59.5-07:30'], ['24:00:00Z', '12:30Z']],
    ['duration', ['P1Y2M3DT4H5M6S', 'PT36H', 'P2W'], ['P', 'PT', 'P1H', '1D']],
    ['email', ['a.b+c@example.co.uk'], ['a@b', '@b.c', 'a b@c.d']],
    ['hostname', ['a', 'www.example.com'], ['-a.com', 'a..b', 'a-.b']],
    ['ipv4', ['0.0.0.0', '255.249.199.9'], ['256.0.0.0', '1.2.3', '01.2.3.4']],
    [
      'ipv6',
      ['::', '::1', 'fe80::1', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::'],
      ['1:2:3:4:5:6:7', ':::', '1::2::3', '12345::'],
    ],
    ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567e89b12d3a456426614174000']],
    ['uri', ['https://example.com/a?b=c#d', 'mailto:a@b.c', 'urn:x:y'], ['example.com', 'http//a', 'a b:c']],
  ])('may have the format %s', (format, yes, no) => {
    expectAllowed(
      { type: 'string', format },
      yes.map((text) => JSON.stringify(text)),
      no.map((text) => JSON.stringify(text)),
    );
  });
});

it('writes the ASCII of a large set apart, so that most tokens are not compared with hundreds of ranges', () => {
  const sets = compileSchema({ type: 'string', pattern: '^\\p{L}+$' }, WHERE).match(/\[[^\]]+\]/g)!;
  expect(sets).toContain('[A-Za-z]');
  expectAllowed({ type: 'string', pattern: '^\\p{L}+$' }, ['"aé"', '"漢Z"', '"𝒜"'], ['"a1"', '""', '"漢 "']);
});

describe('a string with a format', () => {
  it('may have bounds on its length as programs send them, which hold anyway or are narrowed', () => {
    expectAllowed(
      { type: 'string', format: 'uri', minLength: 1, maxLength: 2_083 },
      ['"https://example.com/a?b=c"', `"http://a.de/${'x'.repeat(116)}"`],
      ['""', `"http://a.de/${'x'.repeat(117)}"`],
    );
    expectAllowed({ type: 'string', format: 'hostname', maxLength: 253 }, ['"a.example.com"'], ['""']);
    expectAllowed({ type: 'string', format: 'date', maxLength: 100_000 }, ['"2024-02-29"'], ['"2023-02-29"']);
    expectAllowed(
      { format: 'ipv4', minLength: 9, maxLength: 10 },
      ['"10.0.0.10"', '"10.0.0.100"'],
      ['"10.0.0.1"', '"10.0.100.100"'],
    );
  });

  it('is listed whole, however long', () => {
    const url = `https://a.de/${'x'.repeat(300)}`;
    expectAllowed({ format: 'uri', maxLength: 2_083, enum: [url, 'no'] }, [`"${url}"`], ['"no"']);
  });
});

describe('a number', () => {
  it('lies within its bounds', () => {
    expectAllowed(
      { type: 'integer', minimum: -3, maximum: 12 },
      ['-3', '-0', '0', '9', '12'],
      ['-4', '13', '100', '1.0', '03'],
    );
    expectAllowed({ type: 'integer', exclusiveMinimum: 0 }, ['1', '10', '999999999999999'], ['0', '-1']);
    expectAllowed(
      { type: 'number', minimum: 0.25, exclusiveMaximum: 1 },
      ['0.25', '0.250', '0.999', '0.3'],
      ['0.2', '0.249', '1', '1.0', '0'],
    );
    expectAllowed({ type: 'number', minimum: 0 }, ['0', '0.5', '123.25', '-0'], ['-0.1', '-1']);
    expectAllowed(
      { type: 'number', minimum: -1.5, maximum: -0.5 },
      ['-1.5', '-1', '-0.50'],
      ['-1.51', '-0.49', '0', '1'],
    );
    expectAllowed(
      { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 },
      ['9007199254740991', '-9007199254740991'],
      ['9007199254740992'],
    );
    expectAllowed({ type: 'number', maximum: 1e300, minimum: 1e-300 }, ['5', '0.000001'], ['0', '-1']);
  });

  it('may be anything without bounds', () => {
    expectAllowed(
      { type: 'number' },
      ['0', '-1.5e-10', '1E+9', '12345678901234567890'.slice(0, 19)],
      ['1.', '.5', '01', '1e400', '+1', 'NaN'],
    );
    expectAllowed({ type: 'integer' }, ['0', '-7'], ['1.5', '1e3']);
  });

  it('may be a multiple', () => {
    expectAllowed({ type: 'integer', multipleOf: 7 }, ['0', '7', '-14', '700'], ['1', '8']);
    expectAllowed(
      { type: 'number', multipleOf: 0.25, minimum: 0 },
      ['0', '1', '1.5', '1.25', '0.50'],
      ['1.1', '0.255', '-1'],
    );
    expectAllowed({ type: 'integer', multipleOf: 2.5 }, ['5', '10'], ['2', '7']);
  });
});

describe('a choice', () => {
  it('is one of the listed values that obey the rest', () => {
    expectAllowed({ enum: ['a', 'ab', 1, null, { x: [1] }] }, ['"a"', '"ab"', '1', 'null', '{"x":[1]}'], ['"b"', '2']);
    expectAllowed(
      { type: ['string', 'null'], enum: ['a', 'abc', 1, null], maxLength: 2 },
      ['"a"', 'null'],
      ['"abc"', '1'],
    );
    expectAllowed({ const: 'x"y' }, ['"x\\"y"'], ['"x"']);
    expectAllowed({ type: 'integer', enum: [1, 2, 3], minimum: 2 }, ['2', '3'], ['1']);
  });

  it('is one of several types', () => {
    expectAllowed({ type: ['string', 'null'] }, ['"a"', 'null'], ['1']);
    expectAllowed({ type: ['integer', 'number', 'boolean'] }, ['1', '1.5', 'true'], ['null']);
  });

  it('may be between schemas that have much in common', () => {
    const alike = {
      anyOf: [
        { type: 'number' },
        { type: 'integer', minimum: 1 },
        { anyOf: [{ type: 'number', maximum: 9 }, { type: 'null' }] },
      ],
    };
    expectAllowed({ type: 'array', items: alike }, ['[1,2.5,-3,null,12]'], ['[true]']);
  });

  it('is one of several schemas, with what stands beside them', () => {
    const schema = {
      type: 'object',
      properties: { id: { type: 'integer' } },
      required: ['id'],
      anyOf: [
        { properties: { a: { type: 'null' } }, required: ['a'] },
        { properties: { b: { type: 'null' } }, required: ['b'] },
      ],
    };
    expectAllowed(
      schema,
      [
        { id: 1, a: null },
        { id: 1, b: null },
      ],
      [{ id: 1 }, { a: null }, { id: 1, a: 2 }],
    );
  });

  it('is exactly one where the branches exclude each other', () => {
    const kinds = {
      oneOf: ['cat', 'dog'].map((kind) => ({
        type: 'object',
        properties: { kind: { const: kind }, [kind]: { type: 'integer' } },
        required: ['kind'],
        additionalProperties: false,
      })),
    };
    expectAllowed(kinds, [{ kind: 'cat', cat: 1 }, { kind: 'dog' }], [{ kind: 'cat', dog: 1 }, { kind: 'cow' }]);
    expectAllowed({ oneOf: [{ type: 'string' }, { type: 'null' }] }, ['"a"', 'null'], ['1']);
    expect(refusal({ oneOf: [{ type: 'integer' }, { type: 'number' }] })).toMatchObject({ param: `${WHERE}.oneOf` });
    expect(refusal({ oneOf: [{ properties: { a: {} } }, { type: 'string' }] })).toMatchObject({
      param: `${WHERE}.oneOf`,
    });
  });

  it('obeys all of several schemas', () => {
    const schema = {
      allOf: [
        { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] },
        { properties: { a: { minimum: 3 }, b: { type: 'null' } }, additionalProperties: false },
      ],
    };
    expectAllowed(schema, [{ a: 3 }, { a: 4, b: null }], [{ a: 2 }, { a: 3, c: 1 }, { b: null }]);
  });
});

describe('a reference', () => {
  it('may lead round in a circle', () => {
    const tree = {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/tree' } } },
          required: ['value'],
          additionalProperties: false,
        },
      },
    };
    expectAllowed(
      tree,
      [{ value: 1 }, { value: 1, children: [{ value: 2, children: [] }, { value: 3 }] }],
      [{ value: 1, children: [1] }],
    );
    const list = {
      type: 'object',
      properties: { next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
      required: ['next'],
      additionalProperties: false,
    };
    expectAllowed(list, [{ next: { next: null } }], [{ next: 1 }]);
  });

  it('may point anywhere within, with names escaped', () => {
    const schema = {
      type: 'array',
      items: { $ref: '#/definitions/a~1b%20c' },
      definitions: { 'a/b c': { $ref: '#/definitions/x' }, x: { type: 'null' } },
    };
    expectAllowed(schema, ['[null]'], ['[1]']);
  });

  it('may have keywords beside it', () => {
    expectAllowed(
      { $ref: '#/$defs/n', maximum: 5, $defs: { n: { type: 'integer', minimum: 3 } } },
      ['3', '5'],
      ['2', '6'],
    );
  });

  it.each([
    ['#/$defs/gone', 'where the schema has no schema'],
    ['#/properties', 'where the schema has no schema'],
    ['https://example.com/x.json', 'only references within the schema are followed'],
    ['other', 'only references within the schema are followed'],
  ])('is refused when it points to %s', ($ref, message) => {
    const { message: said, param } = refusal({ type: 'object', properties: { a: { $ref } } });
    expect(said).toContain(message);
    expect(param).toBe(`${WHERE}.properties.a.$ref`);
  });

  it('is refused when it leads back without an end', () => {
    expect(refusal({ $ref: '#' }).message).toContain('leads back');
    expect(refusal({ $ref: '#/$defs/a', $defs: { a: { allOf: [{ $ref: '#/$defs/a' }] } } }).message).toContain(
      'leads back',
    );
    expect(
      refusal({
        $ref: '#/$defs/a',
        $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }, {}] }, b: { anyOf: [{ $ref: '#/$defs/a' }, {}] } },
      }).message,
    ).toContain('leads back');
    expect(refusal({ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }).message).toContain(
      'no value that ends',
    );
  });
});

describe('schemas as programs write them', () => {
  it("may have pydantic's hint at a branch, and zod's at names", () => {
    const kind = (name: string) => ({ properties: { kind: { const: name } }, required: ['kind'], type: 'object' });
    const pet = {
      discriminator: { mapping: { cat: '#/$defs/Cat', dog: '#/$defs/Dog' }, propertyName: 'kind' },
      oneOf: [{ $ref: '#/$defs/Cat' }, { $ref: '#/$defs/Dog' }],
    };
    const schema = { $defs: { Cat: kind('cat'), Dog: kind('dog') }, properties: { pet }, required: ['pet'] };
    expectAllowed(schema, [{ pet: { kind: 'dog' } }], [{ pet: { kind: 'cow' } }]);

    const numbers = { additionalProperties: { type: 'number' }, type: 'object' };
    expectAllowed({ ...numbers, propertyNames: { type: 'string' } }, [{ 'ä b': 1.5 }], [{ a: 'b' }]);
    expect(refusal({ ...numbers, propertyNames: { pattern: '^a' } }).param).toBe(`${WHERE}.propertyNames`);
  });
});

describe('a schema without a type', () => {
  it('speaks of the types that its keywords mean', () => {
    expectAllowed({ properties: { a: { type: 'null' } }, additionalProperties: false }, [{}, { a: null }], ['1', '[]']);
    expectAllowed({ minLength: 1, minimum: 0 }, ['"a"', '1'], ['""', '-1', 'null']);
    expectAllowed({}, ['1', '"a"', 'null', '[{}]', '{"a":[1.5e3]}'], ['x']);
    expectAllowed(true, ['1', '{}'], ['']);
  });
});

describe('a schema that is refused', () => {
  it.each([
    [{ patternProperties: {} }, 'patternProperties'],
    [{ not: {} }, 'not'],
    [{ if: {} }, 'if'],
    [{ uniqueItems: true }, 'uniqueItems'],
    [{ type: 'array', contains: {} }, 'contains'],
    [{ nullable: true, type: 'string' }, 'nullable'],
    [{ constructor: 1 }, 'constructor'],
    [{ type: 'text' }, 'type'],
    [{ type: [] }, 'type'],
    [{ type: 'string', format: 'phone' }, 'format'],
    [{ enum: [] }, 'enum'],
    [{ minLength: -1 }, 'minLength'],
    [{ maxItems: 1.5 }, 'maxItems'],
    [{ minimum: Number.NaN }, 'minimum'],
    [{ multipleOf: 0 }, 'multipleOf'],
    [{ items: [{}] }, 'items'],
    [{ items: 3 }, 'items'],
    [{ properties: { a: 1 } }, 'properties.a'],
    [{ required: 'a' }, 'required'],
    [{ pattern: '(a)\\1' }, 'pattern'],
    [{ pattern: '(a{1,1000}){1,1000}' }, 'pattern'],
    [{ enum: [{ a: 1 }], required: ['a'] }, 'required'],
    [{ maxLength: 1e9 }, 'maxLength'],
    [{ const: '\ud800' }, 'const'],
  ])('names what is wrong: %j', (schema, keyword) => {
    const { message, param } = refusal({ $defs: { used: schema }, properties: { a: { $ref: '#/$defs/used' } } });
    expect(param).toBe(`${WHERE}.$defs.used.${keyword}`);
    expect(message.endsWith('.')).toBe(true);
  });

  it('names a keyword in a definition that nothing uses', () => {
    expect(refusal({ type: 'null', $defs: { a: { dependentRequired: {} } } }).param).toBe(
      `${WHERE}.$defs.a.dependentRequired`,
    );
  });

  it.each([null, 1, 'x', []])('is no schema: %j', (schema) => {
    expect(refusal(schema).param).toBe(WHERE);
  });

  it.each([
    ['false', false],
    ['bounds that exclude each other', { type: 'integer', minimum: 3, maximum: 2 }],
    ['types that exclude each other', { allOf: [{ type: 'string' }, { type: 'null' }] }],
    ['lengths that exclude each other', { type: 'string', minLength: 3, maxLength: 2 }],
    ['a pattern that nothing matches', { type: 'string', pattern: 'a$b' }],
    ['a required property that may not be', { type: 'object', properties: { a: false }, required: ['a'] }],
  ])('allows no value: %s', (_, schema) => {
    expect(refusal(schema).message).toContain('allows no value that ends');
  });
});

describe('a schema that is too large', () => {
  const properties = (count: number) => ({
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: count }, (_, n) => [`property${n}`, { type: 'integer' }])),
    additionalProperties: false,
  });

  it('is refused by its properties', () => {
    const required = { ...properties(SCHEMA_LIMITS.propertiesMax) };
    expect(walkOf({ ...required, required: Object.keys(required.properties) }).stacks).toBeGreaterThan(0);
    expect(refusal(properties(10_000))).toEqual({
      param: `${WHERE}.properties`,
      message: 'The schema has at least 10000 properties; at most 5000 are possible. Use fewer.',
    });
  });

  it('takes hundreds of properties that may be left out', () => {
    const walk = walkOf(properties(500));
    expect(walk.accept(Buffer.from('{"property499":1}'))).toBe(true);
    expect(walk.complete).toBe(true);
  });

  it('is refused by the length of its names', () => {
    const { message, param } = refusal({ properties: { ['x'.repeat(1_000_000)]: {} } });
    expect(message).toContain('at least 1000002 characters together; at most 120000 are possible');
    expect(param).toBe(`${WHERE}.properties`);
    const required = Array.from({ length: 100_000 }, (_, n) => `${n}`);
    expect(refusal({ required })).toMatchObject({
      param: `${WHERE}.required`,
      message: expect.stringContaining('at most 5000'),
    });
  });

  it('is refused by its depth', () => {
    const nested = (depth: number) => {
      let schema: object = { type: 'null' };
      for (let level = 0; level < depth; level++) schema = { type: 'array', items: schema };
      return schema;
    };
    expect(walkOf(nested(SCHEMA_LIMITS.depthMax)).stacks).toBeGreaterThan(0);
    expect(refusal(nested(SCHEMA_LIMITS.depthMax + 1)).message).toContain('is 33 levels deep; at most 32 are possible');
    expect(refusal(nested(5_000)).message).toContain('at most 32 are possible');
  });

  it('is refused by its listed values', () => {
    const words = (count: number) => ({ enum: Array.from({ length: count }, (_, n) => `word ${n}`) });
    expect(walkOf(words(SCHEMA_LIMITS.enumValuesMax)).stacks).toBe(1);
    expect(refusal(words(SCHEMA_LIMITS.enumValuesMax + 1)).message).toContain(
      'lists at least 5001 values; at most 5000 are possible',
    );
    expect(refusal({ enum: ['x'.repeat(SCHEMA_LIMITS.charactersMax)] }).message).toContain(
      'at least 120002 characters together; at most 120000 are possible',
    );
  });

  it('is refused by its branches', () => {
    const branches = Array.from({ length: SCHEMA_LIMITS.branchesMax + 1 }, (_, n) => ({ const: n }));
    expect(refusal({ anyOf: branches }).message).toContain('has 257 branches; at most 256 are possible');
  });

  it('is refused by the combinations of its branches', () => {
    const either = () => ({ anyOf: [{ type: 'string' }, { type: 'integer' }, { maxLength: 4 }] });
    const { message } = refusal({ allOf: Array.from({ length: 12 }, either) });
    expect(message).toMatch(/combined in at least \d+ ways; at most 500 are possible/);
    const chain = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, n) => [
        `d${n}`,
        { anyOf: [{ $ref: `#/$defs/d${(n + 1) % 2_000}` }, { type: 'null' }] },
      ]),
    );
    expect(refusal({ $ref: '#/$defs/d0', $defs: chain }).message).toContain('at most 500 are possible');
  });

  it('is refused when its branches are too many to be followed at once', () => {
    // Each may go on in three ways right after the brace: a blank, a new line, or neither.
    const branch = (at: number) => ({
      type: 'object',
      properties: { a: { type: 'string' }, [`b${at}`]: { type: 'integer' } },
      required: ['a', `b${at}`],
    });
    const { message, param } = refusal({ anyOf: Array.from({ length: 200 }, (_, at) => branch(at)) });
    expect(message).toContain('begin alike for too long');
    expect(param).toBe(WHERE);
  });

  it('is refused when more values begin differently than can be followed at once', () => {
    const values = (count: number) => Array.from({ length: count }, (_, at) => `${String.fromCodePoint(0x4e00 + at)}!`);
    expectAllowed({ enum: values(400) }, values(400).slice(-2).map(quoted), ['"丂"']);
    const { message, param } = refusal({ properties: { city: { enum: values(401) } } });
    expect(message).toContain('401 values listed need more than 400 different characters');
    expect(param).toBe(`${WHERE}.properties.city`);
  });

  it('may become as many rules as there may be', () => {
    const values = Array.from({ length: 5_000 }, (_, at) => `${(at * 7_919) % 5_000}-${(at * 104_729) % 999_983}`);
    expectAllowed({ enum: values }, values.slice(-2).map(quoted), ['"0-1"']);
  });

  it('is refused when thousands of values lead through a long chain of references', () => {
    const to = (at: number) => ({ $ref: `#/$defs/d${at}` });
    const chain = Array.from({ length: 2_000 }, (_, at) => [`d${at}`, at < 1_999 ? to(at + 1) : { type: 'null' }]);
    const properties = Object.fromEntries(chain.map(([name], at) => [name, to(at)]));
    const { message, param } = refusal({ properties, $defs: Object.fromEntries(chain) });
    expect(message).toContain('at most 300000 are possible');
    expect(param).toMatch(/^response_format\.json_schema\.schema\.properties\.d\d+$/);
  });

  it('follows references however many follow each other', () => {
    const chain = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, n) => [
        `d${n}`,
        n === 4_999 ? { type: 'null' } : { $ref: `#/$defs/d${n + 1}` },
      ]),
    );
    expectAllowed({ $ref: '#/$defs/d0', $defs: chain }, ['null'], ['1']);
  });

  it('is refused when a pattern with its length has too many states', () => {
    const { message, param } = refusal({ properties: { a: { type: 'string', pattern: '^a', maxLength: 50_000 } } });
    expect(message).toContain('more than 5000 states');
    expect(param).toBe(`${WHERE}.properties.a`);
    expect(refusal({ items: { type: 'integer', multipleOf: 3001 } }).param).toBe(`${WHERE}.items`);
  });

  it('is refused when its branches begin alike without an end', () => {
    const branch = (k: number) => ({
      type: 'object',
      properties: { x: { $ref: '#' }, k: { const: k } },
      required: ['k'],
      additionalProperties: false,
    });
    expect(refusal({ anyOf: [branch(1), branch(2), branch(3)] }).message).toContain('Branches of `anyOf` begin alike');
  });
});
