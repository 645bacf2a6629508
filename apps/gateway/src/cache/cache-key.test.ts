import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ValidRequest } from '../vocabulary.js';
import { aModel, aRequest } from './cache.testing.js';
import { cacheKey, canonicalJson } from './cache-key.js';

const text = fc.string({ maxLength: 6, unit: 'binary' });
const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const record = fc.dictionary(text, json, { maxKeys: 3 });
/** Never -0, which is 0 in every answer. */
const number = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.double({ min: 0.01, max: 2, noNaN: true, noDefaultInfinity: true }),
);
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

const sampling = fc.record(
  { temperature: number, topP: number, topK: fc.nat(50), seed: fc.nat(), ignoreEos: fc.boolean() },
  { requiredKeys: [] },
);
const prompt = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), text, suffix: maybe(text) }),
  fc.record({ kind: fc.constant('tokens' as const), tokens: fc.array(fc.nat(9), { maxLength: 3 }) }),
  fc.record({
    kind: fc.constant('chat' as const),
    messages: fc.array(fc.record({ role: fc.constantFrom('user', 'system'), content: text }), { maxLength: 2 }),
    tools: fc.array(record, { maxLength: 2 }),
    templateVariables: record,
    toolChoice: maybe(fc.oneof(fc.constantFrom('auto' as const, 'required' as const), fc.record({ name: text }))),
    parallelCalls: maybe(fc.boolean()),
    documents: maybe(fc.array(record, { maxLength: 2 })),
    continueFinal: maybe(fc.boolean()),
    reasoningEffort: maybe(fc.constantFrom('low' as const, 'high' as const)),
  }),
);
const format = fc.oneof(
  fc.constant({ kind: 'json' as const }),
  fc.record({ kind: fc.constant('schema' as const), schema: fc.oneof(fc.boolean(), record) }),
  fc.record({ kind: fc.constant('grammar' as const), grammar: text }),
);
const model = fc
  .record({ id: text, engine: text, created: fc.nat(), samplingDefaults: sampling, maxTokensDefault: maybe(fc.nat()) })
  .map((changes) => aModel(changes));
/** For each field that shapes an answer, some of what it may be. */
const FIELDS: { readonly [Field in keyof ValidRequest]?: fc.Arbitrary<ValidRequest[Field]> } = {
  model,
  fallbacks: fc.array(model, { maxLength: 1 }),
  prompts: fc.array(prompt, { minLength: 1, maxLength: 2 }),
  n: fc.integer({ min: 1, max: 9 }),
  bestOf: fc.integer({ min: 1, max: 9 }),
  sampling,
  maxTokens: maybe(fc.nat(9)),
  stop: fc.array(text, { maxLength: 2 }),
  format: maybe(format),
  logprobs: maybe(fc.nat(20)),
  echo: fc.constantFrom(undefined, true),
};
const request = fc.record(FIELDS as Record<string, fc.Arbitrary<unknown>>).map((fields) => aRequest(fields));

describe('cacheKey', () => {
  it('changes with any change to any field', () => {
    const change = fc.constantFrom(...(Object.keys(FIELDS) as (keyof ValidRequest)[]));
    fc.assert(
      fc.property(
        request,
        change.chain((field) => FIELDS[field]!.map((value) => [field, value] as const)),
        (one, [field, value]) => {
          const other = { ...one, [field]: value };
          // As it came: the same fields in another order are the same only where no model reads them in theirs.
          const same = JSON.stringify(one[field]) === JSON.stringify(value);
          fc.pre(same || canonicalJson(one[field]) !== canonicalJson(value));
          expect(cacheKey(other, 'k') === cacheKey(one, 'k')).toBe(same);
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it('does not change with the order of fields, nor with fields that say nothing', () => {
    const reversed = (value: unknown): unknown => {
      if (typeof value !== 'object' || value === null) return value;
      if (Array.isArray(value)) return value.map(reversed);
      const fields = Object.entries(value).map(([name, field]) => [name, reversed(field)]);
      return Object.fromEntries([['nothing', undefined], ...fields.reverse()]);
    };
    const plain = request.map(({ prompts: _, format: __, ...rest }) => aRequest(rest));
    fc.assert(
      fc.property(plain, (one) => {
        expect(cacheKey(reversed(one) as typeof one, 'k')).toBe(cacheKey(one, 'k'));
      }),
    );
    const [one] = aRequest().prompts;
    const { kind, ...rest } = one!;
    expect(cacheKey(aRequest({ prompts: [{ ...rest, kind } as typeof one & object] }), 'k')).toBe(
      cacheKey(aRequest(), 'k'),
    );
  });

  it('changes with the order in which a schema has its properties: the answer has them in that order', () => {
    const schema = (...names: string[]) => {
      const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
      return aRequest({ format: { kind: 'schema', schema: { type: 'object', properties } } });
    };
    expect(cacheKey(schema('a', 'b'), 'k')).not.toBe(cacheKey(schema('b', 'a'), 'k'));
  });

  it('does not change with how the answer is sent', () => {
    const key = cacheKey(aRequest(), 'k');
    for (const changes of [{ stream: true }, { includeUsage: true }, { stream: true, includeUsage: true }]) {
      expect(cacheKey(aRequest(changes), 'k')).toBe(key);
    }
  });

  it('changes with the model’s file and engine, and not with what they are found to hold', () => {
    const key = cacheKey(aRequest(), 'k');
    const keyWith = (changes: Parameters<typeof aModel>[0]) => cacheKey(aRequest({ model: aModel(changes) }), 'k');
    expect(keyWith({ created: 1_800_000_000 })).not.toBe(key);
    expect(keyWith({ engine: 'fake 2' })).not.toBe(key);
    expect(keyWith({ samplingDefaults: { minP: 0.1 } })).not.toBe(key);
    expect(keyWith({ state: 'idle', detail: 'x', contextLength: 0, aliases: ['a'], isDefault: false })).toBe(key);
  });

  it('is another with other fallbacks, whatever their order, and with another model first', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((id) => aModel({ id }));
    const key = cacheKey(aRequest({ model: a!, fallbacks: [b!, c!] }), 'k');
    expect(cacheKey(aRequest({ model: a!, fallbacks: [c!, b!] }), 'k')).toBe(key);
    for (const fallbacks of [[], [b!], [b!, b!]])
      expect(cacheKey(aRequest({ model: a!, fallbacks }), 'k')).not.toBe(key);
    expect(cacheKey(aRequest({ model: b!, fallbacks: [a!, c!] }), 'k')).not.toBe(key);
  });

  it('is another for every tenant, and for those without a key', () => {
    const tenants = [undefined, '', 'a', 'b', 'null', 'undefined', 'a"', '["a"]'];
    expect(new Set(tenants.map((tenant) => cacheKey(aRequest(), tenant))).size).toBe(tenants.length);
  });

  it('tells prompts apart that only look alike once they are joined', () => {
    const chat = (...contents: string[]) =>
      aRequest({
        prompts: [
          {
            kind: 'chat',
            messages: contents.map((content) => ({ role: 'user', content })),
            tools: [],
            templateVariables: {},
          },
        ],
      });
    const keys = [chat('ab'), chat('a', 'b'), chat('a","b'), chat('b', 'a'), chat('\ud800'), chat('\udc00'), chat('�')];
    expect(new Set(keys.map((one) => cacheKey(one, 'k'))).size).toBe(keys.length);
  });

  it('says nothing of what was asked', () => {
    expect(cacheKey(aRequest(), 'k')).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});
