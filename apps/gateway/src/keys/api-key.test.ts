import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf, isKeyId, makeApiKey, parseApiKey, randomText, sameText } from './api-key.js';

describe('an API key', () => {
  it('is read again as what was made, and never twice the same', () => {
    const made = Array.from({ length: 500 }, () => makeApiKey());
    for (const key of made) expect(parseApiKey(key.text)).toEqual(key);
    expect(new Set(made.map(({ id }) => id)).size).toBe(500);
    expect(new Set(made.map(({ text }) => text)).size).toBe(500);
  });

  it('keeps its id with a new secret', () => {
    const { id, text } = makeApiKey();
    const next = makeApiKey(id);
    expect(next.id).toBe(id);
    expect(next.text).not.toBe(text);
  });

  it('holds nothing that looks like something else, or ends a word', () => {
    expect(makeApiKey().text).toMatch(/^sk-mr-[1-9A-HJ-NP-Za-km-z]{16}-[1-9A-HJ-NP-Za-km-z]{44}$/);
    expect(randomText(10_000)).not.toMatch(/[0OIl]/);
  });

  it('is none when anything about it is different', () => {
    const { text } = makeApiKey();
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, replacement) => {
        const changed = text.slice(0, at) + replacement + text.slice(at + 1);
        const parsed = parseApiKey(changed);
        // What is still of the shape is a key, though of somebody else.
        expect(parsed === undefined || parsed.text === changed).toBe(true);
        if (!/^[1-9A-HJ-NP-Za-km-z-]$/.test(replacement)) expect(parsed).toBeUndefined();
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a megabyte', 'a'.repeat(1_000_000)],
    ['a megabyte that begins well', `${makeApiKey().text}${'a'.repeat(1_000_000)}`],
    ['NUL at its end', `${makeApiKey().text.slice(0, -1)}\0`],
    ['a line break behind it', `${makeApiKey().text}\n`],
    ['a line break in place of its last character', `${makeApiKey().text.slice(0, -1)}\n`],
    ['letters that only look right', makeApiKey().text.replace('sk', 'ѕk')],
    ["OpenAI's own", `sk-proj-${'x'.repeat(60)}`],
    ['SQL', `sk-mr-' or 1=1 --`.padEnd(67, 'a')],
    ['spaces around it', ` ${makeApiKey().text} `],
  ])('is not %s', (_, text) => {
    expect(parseApiKey(text)).toBeUndefined();
  });

  it('is never thrown about, whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => parseApiKey(text) === undefined));
  });

  it('has an id that is told from other texts', () => {
    expect(isKeyId(makeApiKey().id)).toBe(true);
    for (const text of ['', 'a'.repeat(15), 'a'.repeat(17), `${'a'.repeat(15)}\n`, `${'a'.repeat(15)}\0`, '%']) {
      expect(isKeyId(text)).toBe(false);
    }
  });
});

describe('the digest of a key', () => {
  it('is of that key and of that secret', () => {
    const { text } = makeApiKey();
    expect(digestOf(text, 'secret')).toEqual(digestOf(text, 'secret'));
    expect(digestOf(text, 'secret')).not.toEqual(digestOf(text, 'another'));
    expect(digestOf(text, 'secret')).not.toEqual(digestOf(makeApiKey().text, 'secret'));
    expect(digestOf(text, 'secret')).toHaveLength(32);
  });

  it('compares texts of any length', () => {
    expect(sameText('a', 'a')).toBe(true);
    expect(sameText('a', 'ab')).toBe(false);
    expect(sameText('', 'a')).toBe(false);
  });
});
