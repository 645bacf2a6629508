import { InferenceError } from '@millrace/contracts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COMPILED_GBNF_LIMITS, type Gbnf } from '../../token-engine/gbnf/gbnf.js';
import { GbnfWalk } from '../../token-engine/gbnf/gbnf-walk.js';
import { randomText } from '../../token-engine/gbnf/random-text.testing.js';
import { readGbnf } from '../../token-engine/gbnf/read-gbnf.js';
import { compileSchema } from './compile-schema.js';
import { schemasWithValues } from './random-schema.testing.js';
import { SUPPORTED_KEYWORDS } from './read-schema.js';

// A validator that knows nothing of ours. With decimals it divides doubles, hence the precision.
const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9, unicodeRegExp: true });
addFormats.default(ajv);

const compiled = (schema: unknown): Gbnf => readGbnf(compileSchema(schema, 'schema'), COMPILED_GBNF_LIMITS);

const RECURSIVE = {
  $ref: '#/$defs/node',
  $defs: {
    node: {
      type: 'object',
      properties: {
        kind: { enum: ['leaf', 'branch'] },
        left: { $ref: '#/$defs/node' },
        right: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
        tags: { type: 'array', items: { type: 'string', pattern: '^[a-z]+$', maxLength: 8 }, maxItems: 4 },
      },
      required: ['kind'],
      additionalProperties: { type: 'number', multipleOf: 0.25, minimum: -1000, maximum: 1000 },
    },
  },
};

/** Anything that JSON can say, with the words of schemas in it. */
const nonsense = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(
      null,
      true,
      false,
      0,
      -1,
      2.5,
      1e300,
      '',
      'string',
      'object',
      'integer',
      '#',
      '#/$defs/a',
      '^a+$',
      '(',
      'date',
    ),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', ...Object.keys(SUPPORTED_KEYWORDS), 'title', '__proto__'), tie('any'), {
      maxKeys: 4,
    }),
  ),
})).any;

describe('any JSON as a schema', () => {
  it('is compiled, or refused with the parameter at fault', () => {
    fc.assert(
      fc.property(nonsense, (schema) => {
        try {
          compiled(schema);
        } catch (error) {
          expect(error).toBeInstanceOf(InferenceError);
          expect((error as InferenceError).details.param).toMatch(/^schema/);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a compiled schema', () => {
  it('derives only texts that parse and validate', () => {
    fc.assert(
      fc.property(
        schemasWithValues,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        ({ schema }, stream) => {
          const gbnf = compiled(schema);
          const validate = ajv.compile(schema);
          const random = () => stream.next().value as number;
          for (const length of [10, 60, 300]) {
            const text = randomText(gbnf, random, length)!;
            const value = JSON.parse(text) as unknown;
            expect([text, validate(value), validate.errors]).toEqual([text, true, null]);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('derives only valid texts where it refers to itself', () => {
    const gbnf = compiled(RECURSIVE);
    const validate = ajv.compile(RECURSIVE);
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (stream) => {
        const text = randomText(gbnf, () => stream.next().value as number, 200)!;
        expect([text, validate(JSON.parse(text)), validate.errors]).toEqual([text, true, null]);
      }),
      { numRuns: 40 },
    );
  });

  it('takes every valid value as JSON.stringify writes it, plain or indented', () => {
    fc.assert(
      fc.property(schemasWithValues, ({ schema, value }) => {
        expect(ajv.validate(schema, value)).toBe(true);
        for (const indentation of [undefined, 2]) {
          const text = JSON.stringify(value, null, indentation);
          const walk = new GbnfWalk(compiled(schema));
          expect([text, walk.accept(Buffer.from(text)) && walk.complete]).toEqual([text, true]);
        }
      }),
      { numRuns: 50 },
    );
  });
});
