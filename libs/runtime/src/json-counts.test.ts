import { describe, expect, it } from 'vitest';
import { JSON_COUNTS_MAX, tooMuchInJson } from './json-counts.js';

const { names, parts, entries } = JSON_COUNTS_MAX;
const told = (json: string) => tooMuchInJson(Buffer.from(json));
const list = (count: number, entry: (index: number) => string) =>
  `[${Array.from({ length: count }, (_, index) => entry(index)).join(',')}]`;

describe('what a JSON text may have', () => {
  it('counts names, and takes as many as the limit says', () => {
    const object = (count: number) =>
      list(count, (index) => `"k${index}":1`)
        .replace('[', '{')
        .replace(']', '}');
    expect(told(object(names))).toBeUndefined();
    expect(told(object(names + 1))).toContain('more than 100,000 names of fields');
  });

  it('counts texts, lists and objects together, the outer list among them', () => {
    const each = (index: number) => ['[]', '{}', '"x"'][index % 3]!;
    expect(told(list(parts - 1, each))).toBeUndefined();
    expect(told(list(parts, each))).toContain('more than 200,000 names, texts, lists and objects');
  });

  it('counts numbers by their commas', () => {
    expect(told(list(entries + 1, () => '7'))).toBeUndefined();
    expect(told(list(entries + 2, () => '7'))).toContain('more than 2,000,000 entries');
  });

  it.each([
    ['a text of what is counted elsewhere', ':,[{'.repeat(1_000_000)],
    ['a text of quotes', '"'.repeat(1_000_000)],
    ['a text of backslashes', '\\'.repeat(3_000_001)],
    ['a text of both', '\\"\\\\"'.repeat(500_000)],
  ])('counts nothing inside of a text: %s', (_what, text) => {
    expect(told(JSON.stringify({ text }))).toBeUndefined();
    expect(told(JSON.stringify([text, Array(parts).fill('')]))).toContain('200,000');
  });

  it('leaves what is no JSON to whoever parses it', () => {
    expect(told(`"${'a'.repeat(1_000_000)}`)).toBeUndefined();
    expect(told(`"${'\\'.repeat(1_000_001)}`)).toBeUndefined();
  });
});
