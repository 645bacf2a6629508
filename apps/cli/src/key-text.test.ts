import type { KeyBody } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { keyDetails, keyTable } from './key-text.js';
import { cutText, plainText } from './plain-text.js';

const NOW_MS = Date.UTC(2026, 0, 1);

function key(changes: Partial<KeyBody> = {}): KeyBody {
  return {
    object: 'millrace.key',
    id: '3vQB7B6MrGQZaxCu',
    name: 'alice',
    models: null,
    limits: {},
    priority: 0,
    created_at: NOW_MS / 1_000,
    expires_at: null,
    revoked_at: null,
    log_messages: null,
    state: 'valid',
    ...changes,
  };
}

const MUCH: Partial<KeyBody> = {
  name: 'a name that is as long as names become when they say what a key is for',
  models: ['qwen*', 'mistral-small-instruct', 'embed', 'rerank', 'another-model-with-a-name'],
  limits: { requests_per_minute: 60, tokens_per_minute: 100_000, tokens_per_month: 1_000_000_000_000 },
  expires_at: NOW_MS / 1_000 + 30 * 86_400,
};

describe('the table of keys', () => {
  it('leaves out columns that are empty throughout', () => {
    expect(keyTable([key(), key({ name: 'bob', state: 'revoked' })], NOW_MS, undefined)).toBe(
      'ID                NAME   STATE\n3vQB7B6MrGQZaxCu  alice  valid\n3vQB7B6MrGQZaxCu  bob    revoked',
    );
  });

  it.each([80, 100, 140])('fits a terminal of %i columns, and keeps what tells keys apart', (width) => {
    const lines = keyTable([key(MUCH), key()], NOW_MS, width).split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines[1]).toContain('3vQB7B6MrGQZaxCu');
    expect(lines[1]).toContain('valid');
    expect(lines[1]).toContain('in 30d');
    expect(lines[2]).toContain('alice');
  });

  it('cuts nothing where there is no terminal', () => {
    const table = keyTable([key(MUCH)], NOW_MS, undefined);
    expect(table).toContain(MUCH.name!);
    expect(table).toContain('1,000,000,000,000 tokens/month');
    expect(table).toContain('another-model-with-a-name');
  });

  it.each([
    ['colours and moves', '\u001b[31mred\u001b[2J\u001b]0;title\u0007'],
    ['C1 controls', '\u009b31mred'],
    ['another direction of writing', 'abc\u202egnp.exe'],
    ['lines of its own', 'a\nb\r\nc\u2028d\u0085e\tf'],
    ['nothing that can be seen', '\u200b\u2060\ufeff'],
  ])('lets no name do to a terminal what it likes: %s', (_, name) => {
    const text = keyTable([key({ name, models: [name] })], NOW_MS, 80) + keyDetails(key({ name, models: [name] }));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060\ufeff]/);
    expect(text.split('\n')).toHaveLength(2 + 7);
  });

  it('leaves names of all languages alone', () => {
    for (const name of ['Ünïcödé', '名前', 'имя', 'emoji 🔑']) expect(plainText(name)).toBe(name);
  });
});

describe('cutText', () => {
  it('counts characters, not halves of them', () => {
    expect(cutText('🔑🔑🔑', 3)).toBe('🔑🔑🔑');
    expect(cutText('🔑🔑🔑🔑', 3)).toBe('🔑🔑…');
    expect(cutText('abc', 0)).toBe('…');
  });
});

describe('the details of a key', () => {
  it('tell everything, in words', () => {
    const text = keyDetails(
      key({ ...MUCH, log_messages: false, revoked_at: NOW_MS / 1_000, state: 'revoked', priority: -3 }),
    );
    expect(text.split('\n').map((line) => line.trim().replace(/ +/g, ' '))).toEqual([
      `${MUCH.name} (3vQB7B6MrGQZaxCu)`,
      'state revoked',
      `models ${MUCH.models!.join(', ')}`,
      'limits 60 requests/min, 100,000 tokens/min, 1,000,000,000,000 tokens/month',
      'priority -3',
      'created 2026-01-01 00:00 UTC',
      'expires 2026-01-31 00:00 UTC',
      'revoked 2026-01-01 00:00 UTC',
      'contents are not recorded',
    ]);
  });
});
