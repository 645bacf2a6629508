import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomText } from '../../token-engine/gbnf/random-text.testing.js';
import { schemasWithValues } from '../json-schema/random-schema.testing.js';
import { type Asked, type Collected, grammarOf, planned, read, TIME, tool, WEATHER } from './answer-forms.testing.js';
import { TABLES } from './answer-table.testing.js';
import { FORMS, type Form } from './forms.js';

const templates = Object.keys(TABLES);
const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9, unicodeRegExp: true });
addFormats.default(ajv);

const NESTED = tool('get_weather_map', {
  type: 'object',
  properties: {
    area: { type: 'object', properties: { north: { type: 'number' }, name: { type: ['string', 'null'] } } },
    layers: { type: 'array', items: { enum: ['rain', '</tool_call>', '"]```', '</parameter>'] }, maxItems: 3 },
    mood: { type: 'string', minLength: 1, maxLength: 5 },
    code: { type: 'string', pattern: '[</]' },
    note: { type: 'string' },
    unit: { enum: ['C', 'F'] },
    'a "key"': { anyOf: [{ type: 'boolean' }, { type: 'string', pattern: '^[<|>]{1,3}$' }] },
  },
  required: ['layers'],
});
const TOOLS = [WEATHER, NESTED, TIME, tool('get_weather_', { type: 'object', properties: {} })];

const chance = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true }));

/** Cuts a text into pieces at random. */
function cut(text: string, random: () => number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const to = Math.min(text.length, at + 1 + Math.floor(random() * 12));
    pieces.push(text.slice(at, to));
    at = to;
  }
  return pieces;
}

function expectValidCalls({ calls }: Collected, tools = TOOLS): void {
  for (const { name, arguments: written } of calls) {
    const { parameters } = tools.find((one) => one.function.name === name)!.function;
    const validate = ajv.compile(parameters ?? { type: 'object', additionalProperties: false });
    expect([name, written, validate(JSON.parse(written)), validate.errors]).toEqual([name, written, true, null]);
  }
}

/** Without blanks, and without the marks that may be dropped. */
function bare(text: string, { dropped, reasoning }: Form): string {
  let left = text.replace(/\s/g, '');
  for (let before = ''; before !== left; ) {
    before = left;
    for (const mark of [...dropped, ...reasoning.flatMap(({ open, close }) => [open, close])])
      left = left.replaceAll(mark, '');
  }
  return left;
}

describe.each(templates)('%s', (template) => {
  it('reads as calls with valid arguments all that its grammar derives', () => {
    fc.assert(
      fc.property(chance, fc.boolean(), (stream, parallelCalls) => {
        const random = () => stream.next().value as number;
        const plan = planned(template, { tools: TOOLS, toolChoice: 'required', parallelCalls });
        const answer = randomText(grammarOf(plan.bindings.first!), random, 120)!;
        const whole = read(plan, cut(answer, random));
        if (Object.values(FORMS).some(({ reasoning }) => reasoning.some(({ open }) => answer === open))) return;
        expect([answer, whole.text, whole.reasoning]).toEqual([answer, '', '']);
        expect(whole.calls.length).toBeGreaterThan(0);
        if (!parallelCalls) expect(whole.calls).toHaveLength(1);
        expectValidCalls(whole);
      }),
      { numRuns: 40 },
    );
  });

  it('gives back every character of what is no mark, in the same way however it is split', () => {
    // What its own answers are made of, put together at random.
    const scraps = Object.values(TABLES[template]!).flatMap(({ answer }) => answer.match(/[\w ]+|\W/gu) ?? []);
    const junk = fc.array(fc.oneof(fc.constantFrom(...scraps), fc.string({ unit: 'binary', maxLength: 3 })), {
      maxLength: 60,
    });
    const asked: fc.Arbitrary<Asked> = fc.record({
      rendered: fc.constantFrom('', '<think>\n', '[THINK]', '<|START_THINKING|>', 'Grounded answer:'),
      tools: fc.constantFrom([], TOOLS),
      documents: fc.constantFrom(undefined, [{ text: 'a' }]),
    });
    fc.assert(
      fc.property(junk, asked, chance, (parts, prompt, stream) => {
        const answer = parts.join('');
        const plan = planned(template, prompt);
        const whole = read(plan, [answer]);
        expect(
          read(
            plan,
            cut(answer, () => stream.next().value as number),
          ),
        ).toEqual(whole);
        expect(read(plan, answer.split(''))).toEqual(whole);
        if (whole.calls.length > 0 || plan.citations !== undefined || /directly.answer/.test(answer)) return;
        const form: Form = FORMS[plan.form];
        expect(bare(whole.reasoning + whole.text, form)).toBe(bare(answer, form));
      }),
      { numRuns: 100 },
    );
  });
});

describe('a tool with any schema', () => {
  it('is called with what the schema allows', () => {
    const objects = fc.dictionary(
      fc.stringMatching(/^[^<>\n]{0,5}$/),
      schemasWithValues.map(({ schema }) => schema),
      {
        maxKeys: 3,
        noNullPrototype: true,
      },
    );
    fc.assert(
      fc.property(fc.constantFrom(...templates), objects, chance, (template, properties, stream) => {
        const random = () => stream.next().value as number;
        const tools = [tool('any', { type: 'object', properties, required: Object.keys(properties) })];
        const plan = planned(template, { tools, toolChoice: { name: 'any' } });
        const answer = randomText(grammarOf(plan.bindings.first!), random, 80)!;
        const whole = read(plan, cut(answer, random));
        expectValidCalls(whole, tools);
      }),
      { numRuns: 40 },
    );
  });
});

const TEXT = { type: 'string', maxLength: 4 };
const BRANCHED = [
  { properties: { a: TEXT, b: TEXT }, anyOf: [{ required: ['a'] }, { required: ['b'] }] },
  { properties: { a: TEXT, b: TEXT, c: TEXT }, oneOf: [{ required: ['a'] }, { required: ['b'] }] },
  { properties: { a: TEXT, b: { type: 'integer' }, c: TEXT }, minProperties: 1 },
  {
    oneOf: [
      { properties: { kind: { const: 'n' }, value: { type: 'integer' } }, required: ['kind', 'value'] },
      { properties: { kind: { const: 's' }, value: TEXT }, required: ['kind', 'value'] },
    ],
  },
];

describe.each(templates)('tools whose parameters depend on each other, with %s', (template) => {
  it.each(BRANCHED.map((branched) => ({ type: 'object', ...branched })))('are called with what %j allows', (schema) => {
    const tools = [tool('any', schema)];
    const plan = planned(template, { tools, toolChoice: { name: 'any' } });
    fc.assert(
      fc.property(chance, (stream) => {
        const random = () => stream.next().value as number;
        const whole = read(plan, cut(randomText(grammarOf(plan.bindings.first!), random, 80)!, random));
        expectValidCalls(whole, tools);
      }),
      { numRuns: 40 },
    );
  });
});

describe('text without any mark', () => {
  it('comes back as it is, in every form', () => {
    // Nothing of the characters that marks begin with.
    const words = fc.stringMatching(/^[b-z][b-zB-F 0-9.,;\n}\]]*$/);
    const marks = new Set(Object.values(FORMS).flatMap(({ calls }) => [...calls.begins]));
    expect([...marks].sort().join('')).toBe(' <A[{');
    fc.assert(
      fc.property(fc.constantFrom(...templates), words, chance, (template, answer, stream) => {
        const whole = read(
          planned(template),
          cut(answer, () => stream.next().value as number),
        );
        expect(whole.text).toBe(answer);
      }),
    );
  });
});
