import { InferenceError } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCall } from '../call.testing.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import type { RequestRecord } from '../vocabulary.js';
import { ReportUsage } from '../walks/report-usage.js';
import { aRecord } from './record.testing.js';
import { dayAfter, dayOf } from './record-days.js';
import { lineOfRow, rowOf } from './record-row.js';
import { RecordTable } from './record-table.js';
import { RequestLog } from './request-log.js';
import { UsageTotals } from './usage-totals.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** What is told of usage, on every database. */
export function usageTotalsContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  const unwritten = { pending: 3, batches: 0, unwrittenTokens: () => 0 };
  const today = dayOf(Date.now());
  const yesterday = dayAfter(today, -1);
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());
  beforeEach(() => database.query('delete from request_records; delete from usage_days'));

  const write = (records: readonly RequestRecord[]) => {
    const rows = records.map(rowOf);
    return new RecordTable(database).write(rows.map(lineOfRow), new Set(rows.map(({ day }) => day)));
  };
  const on = (day: string) => ({ arrivedAtMs: Date.parse(`${day}T01:00:00Z`) });
  const ask = (query: unknown) =>
    new ReportUsage(new UsageTotals(database, unwritten), new RequestLog(logger)).run(query, aCall());

  it('tells requests and tokens of each key, model and day', async () => {
    await write([
      aRecord(on(today)),
      aRecord({ ...on(today), code: 'internal_error' }),
      aRecord({ ...on(yesterday), keyName: 'its former name' }),
      aRecord({ ...on(today), keyId: undefined, keyName: undefined, model: undefined }),
      aRecord({ ...on(today), endpoint: 'admin', keyId: undefined }),
    ]);
    expect(await ask({})).toEqual({
      object: 'millrace.usage',
      from: dayAfter(today, -29),
      to: today,
      data: [
        { day: today, key_id: 'key_a', key_name: 'a key', model: 'demo', ...counts(2, 1) },
        { day: today, key_id: null, key_name: null, model: null, ...counts(1) },
        { day: yesterday, key_id: 'key_a', key_name: 'its former name', model: 'demo', ...counts(1) },
      ],
      has_more: false,
      pending_records: 3,
    });
    expect((await ask({ group_by: 'key' })).data).toEqual([
      { key_id: 'key_a', key_name: 'a key', ...counts(3, 1) },
      { key_id: null, key_name: null, ...counts(1) },
    ]);
    expect((await ask({ group_by: 'day,model', key: 'key_a' })).data).toEqual([
      { day: today, model: 'demo', ...counts(2, 1) },
      { day: yesterday, model: 'demo', ...counts(1) },
    ]);
    expect((await ask({ key: '', group_by: 'model' })).data).toEqual([{ model: null, ...counts(1) }]);
    expect((await ask({ from: yesterday, to: yesterday, group_by: 'key' })).data).toEqual([
      { key_id: 'key_a', key_name: 'its former name', ...counts(1) },
    ]);
    expect((await ask({ model: 'other' })).data).toEqual([]);
  });

  it('counts requests that were answered from the cache, and none of their tokens, neither in totals nor in budgets', async () => {
    await write([aRecord(on(today)), aRecord({ ...on(today), cached: true }), aRecord({ ...on(today), cached: true })]);
    expect((await ask({ group_by: 'key' })).data).toEqual([
      { key_id: 'key_a', key_name: 'a key', ...counts(1), requests: 3, cached_requests: 2 },
    ]);
    const used = await new UsageTotals(database, unwritten).usedTokens('key_a');
    expect(used).toEqual({ today: 10, thisMonth: 10 });
  });

  it('says when there is more than was asked for', async () => {
    await write(['a', 'b', 'c'].map((keyId, at) => aRecord({ keyId, completionTokens: at })));
    const report = await ask({ limit: '2' });
    expect(report.data.map(({ key_id }) => key_id)).toEqual(['c', 'b']);
    expect(report.has_more).toBe(true);
    expect((await ask({ limit: '3' })).has_more).toBe(false);
  });

  it.each([
    [{ group_by: 'colour' }, 'group_by', /key, model, day/],
    [{ group_by: '' }, 'group_by', /key, model, day/],
    [{ from: '2026-02-30' }, 'from', /from/],
    [{ from: '2026-03-02', to: '2026-03-01' }, 'from', /2026-03-02.*2026-03-01/],
    [{ limit: '0' }, 'limit', /limit/],
    [{ frm: '2026-03-02' }, 'frm', /what there is: from, to/],
    [{ key: ['a', 'b'] }, 'key', /key/],
  ])('refuses %j', async (query, param, message) => {
    const error = await ask(query).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InferenceError);
    expect(error).toMatchObject({ details: { param }, message: expect.stringMatching(message) });
  });

  it('takes SQL for what it is', async () => {
    expect((await ask({ key: "' or 1=1; drop table usage_days; --" })).data).toEqual([]);
    expect((await ask({})).data).toEqual([]);
  });

  it('is unavailable while the database is away, and no failure of ours', async () => {
    const away = { query: () => Promise.reject(new DatabaseUnavailable('The database is away.')) };
    const report = new ReportUsage(new UsageTotals(away, unwritten), new RequestLog(logger));
    await expect(report.run({}, aCall())).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  it('knows what a key has used today and in this month, what is not written yet with it', async () => {
    const first = `${today.slice(0, 8)}01`;
    await write([
      aRecord(on(today)),
      aRecord({ ...on(first), promptTokens: 100, completionTokens: 0 }),
      aRecord({ ...on(dayAfter(first, -1)), promptTokens: 1_000 }),
      aRecord({ ...on(today), keyId: 'another' }),
    ]);
    const waiting = { ...unwritten, unwrittenTokens: (_key: string, from: string) => (from === today ? 1 : 2) };
    const used = await new UsageTotals(database, waiting).usedTokens('key_a');
    expect(used).toEqual(first === today ? { today: 112, thisMonth: 112 } : { today: 11, thisMonth: 112 });
    expect(await new UsageTotals(database, unwritten).usedTokens('nobody')).toEqual({ today: 0, thisMonth: 0 });
  });

  it('looks again when a batch was written while it looked', async () => {
    const busy = { ...unwritten, batches: 0, unwrittenTokens: () => (busy.batches === 0 ? 10 : 0) };
    let looks = 0;
    const query: SqlDatabase['query'] = async (sql, values) => {
      const rows = await database.query<never>(sql, values);
      if (looks++ === 0) {
        await write([aRecord()]);
        busy.batches = 1;
      }
      return rows;
    };
    expect(await new UsageTotals({ query }, busy).usedTokens('key_a')).toEqual({ today: 10, thisMonth: 10 });
    expect(looks).toBe(2);
  });
}

function counts(requests: number, failed = 0) {
  return {
    requests,
    failed_requests: failed,
    cached_requests: 0,
    prompt_tokens: 7 * requests,
    cached_tokens: 2 * requests,
    completion_tokens: 3 * requests,
    total_tokens: 10 * requests,
  };
}
