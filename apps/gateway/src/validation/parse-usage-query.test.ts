import { describe, expect, it } from 'vitest';
import { parseUsageQuery } from './parse-usage-query.js';

const NOON = Date.parse('2026-11-21T12:00:00Z');

describe('GET /admin/usage', () => {
  it('tells of the last 30 days where nothing is said, of whoever asked for whatever', () => {
    const { groups, ...query } = parseUsageQuery(undefined, NOON);
    expect(query).toEqual({ from: '2026-10-23', to: '2026-11-21', key: undefined, model: undefined, limit: 1_000 });
    expect([...groups].sort()).toEqual(['day', 'key', 'model']);
  });

  it('takes 30 days with the last', () => {
    expect(parseUsageQuery({ to: '2026-03-01' }, NOON)).toMatchObject({ from: '2026-01-31', to: '2026-03-01' });
  });

  it.each([
    [{ from: 'yesterday' }, '`from` is "yesterday"; it must be a day such as 2026-11-01.'],
    [{ to: '2026-02-30' }, '`to` is "2026-02-30"; it must be a day such as 2026-11-01.'],
    [{ from: '2026-12-01', to: '2026-11-01' }, '`from` is 2026-12-01 and `to` is 2026-11-01; `from` comes first.'],
    [{ limit: '0' }, '`limit` is "0"; it must be at least 1.'],
    [{ key: 'a\0' }, '`key` is "a\\u0000"; it must not hold control characters.'],
    [{ model: '\0' }, '`model` is "\\u0000"; it must not hold control characters.'],
    [{ group_by: 'keys' }, '`group_by` is "keys"; it takes key, model, day, with commas between.'],
  ])('refuses %j', (query, message) => {
    expect(() => parseUsageQuery(query, NOON)).toThrow(message);
  });
});
