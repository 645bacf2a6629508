import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SqlDatabase } from '../stores/sql-database.js';
import type { RequestRecord } from '../vocabulary.js';
import { aRecord } from './record.testing.js';
import { dayAfter, dayOf, nameOfDay } from './record-days.js';
import { lineOfRow, rowOf } from './record-row.js';
import { RecordTable } from './record-table.js';

/** What holds on every database: rows and totals in one, days that come and go. */
export function recordTableContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let table: RecordTable;
  const today = dayOf(Date.now());
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    table = new RecordTable(database);
    await database.query('delete from request_records; delete from usage_days; delete from record_chores');
  });

  const write = (records: readonly RequestRecord[], to = table) => {
    const rows = records.map(rowOf);
    return to.write(rows.map(lineOfRow), new Set(rows.map(({ day }) => day)));
  };
  const count = async () =>
    Number((await database.query<{ n: number }>('select count(*) as n from request_records'))[0]!.n);
  const totals = () =>
    database.query('select day::text, key_id, model, requests, prompt_tokens from usage_days order by 1, 2, 3');
  const partitions = async () =>
    (
      await database.query<{ name: string }>(
        `select relname as name from pg_class
         where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname like 'request\\_records\\_%'`,
      )
    ).map(({ name }) => name);

  it('keeps every field of a record', async () => {
    const record = aRecord({
      arrivedAtMs: Date.parse('2026-11-21T23:59:59.999Z'),
      traceId: 'a'.repeat(32),
      code: 'internal_error',
      status: 500,
      contents: { question: '[{"role":"user"}]', answer: 'ß😀', cut: true },
    });
    await write([record]);
    const [row] = await database.query('select *, day::text as day from request_records');
    expect(row).toEqual({
      day: '2026-11-21',
      record_id: record.recordId,
      arrived_at: new Date(record.arrivedAtMs),
      request_id: 'req_1',
      trace_id: 'a'.repeat(32),
      key_id: 'key_a',
      key_name: 'a key',
      endpoint: 'chat',
      model: 'demo',
      worker: '127.0.0.1:1',
      attempts: 1,
      stream: true,
      parameters: { max_tokens: 8 },
      outcome: 'served',
      code: 'internal_error',
      status: 500,
      prompt_tokens: 7,
      cached_tokens: 2,
      completion_tokens: 3,
      reasoning_tokens: 0,
      waited_ms: 0.1,
      first_token_ms: 12.346,
      per_token_ms: 4,
      total_ms: 30,
      overhead_ms: 0.5,
      cached: false,
      continued: false,
      question: '[{"role":"user"}]',
      answer: 'ß😀',
      contents_cut: true,
    });
  });

  it('writes nothing twice, neither row nor total, however often it is sent', async () => {
    const twins = aRecord();
    const others = [twins, twins, aRecord(), aRecord({ keyId: undefined, keyName: undefined, model: undefined })];
    expect(await write(others)).toBe(3);
    expect(await write([...others, aRecord()])).toBe(1);
    expect(await count()).toBe(4);
    expect(await totals()).toEqual([
      { day: today, key_id: '', model: '', requests: 1, prompt_tokens: 7 },
      { day: today, key_id: 'key_a', model: 'demo', requests: 3, prompt_tokens: 21 },
    ]);
  });

  it('takes whatever text a caller can send', async () => {
    const nasty = [
      '\0',
      '\ud800',
      'a\udc00b',
      "'; drop table request_records; --",
      '\\u0000',
      '\r\nx-evil: 1',
      '\u2028',
      '😀'.repeat(400),
    ];
    const records = nasty.map((text) =>
      aRecord({
        requestId: text,
        traceId: text,
        keyId: text,
        keyName: text,
        model: text,
        worker: text,
        parameters: { text, [text.replaceAll('\0', '').toWellFormed()]: { deep: [text] } },
        contents: { question: text, answer: text, cut: false },
      }),
    );
    expect(await write(records)).toBe(records.length);
    const rows = await database.query<{ answer: string }>('select answer from request_records');
    const readable = nasty.map((text) => text.toWellFormed().replaceAll('\0', '\ufffd'));
    expect(rows.map(({ answer }) => answer).sort()).toEqual(readable.sort());
  });

  it('takes every text that there is, in every field', async () => {
    // Also halves of surrogate pairs, NUL, and those that JSON escapes; often ones that are next to trouble.
    const unit = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0x22, 0x5c, 0x75, 0xd800, 0xdbff, 0xdc00, 0xdfff));
    const text = fc.array(unit, { maxLength: 40 }).map((units) => String.fromCharCode(...units));
    const records = fc.array(
      fc.record({
        requestId: text,
        traceId: text,
        keyId: text,
        keyName: text,
        model: text,
        worker: text,
        contents: fc.option(fc.record({ question: text, answer: text, cut: fc.boolean() }), { nil: undefined }),
        parameters: fc.record({ list: fc.array(text), deep: fc.record({ text }) }),
      }),
      { minLength: 1, maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(records, async (changes) => {
        expect(await write(changes.map((one) => aRecord(one)))).toBe(changes.length);
      }),
      { numRuns: 60 },
    );
  });

  it('takes whatever number there may be', async () => {
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300, 0.5, -0];
    const records = odd.map((number) =>
      aRecord({
        arrivedAtMs: Math.abs(number) === 0.5 ? Date.now() : number,
        promptTokens: number,
        completionTokens: number,
        totalMs: number,
        firstTokenMs: number,
        attempts: number,
        status: number,
      }),
    );
    expect(await write(records)).toBe(records.length);
  });

  it('makes a partition for every day that comes, and days late or early too', async () => {
    const days = ['2025-12-31', '2026-01-01', today, dayAfter(today, 3)];
    await write(days.map((day) => aRecord({ arrivedAtMs: Date.parse(`${day}T12:00:00Z`) })));
    expect(await count()).toBe(4);
    expect(await partitions()).toEqual(expect.arrayContaining(days.map(nameOfDay)));
  });

  it('lets several make the same days at once', async () => {
    const days = Array.from({ length: 4 }, (_, index) => dayAfter('2027-02-26', index));
    const tables = Array.from({ length: 10 }, () => new RecordTable(database));
    await Promise.all(tables.map((one) => one.makeDays(days)));
    expect((await partitions()).filter((name) => name.startsWith('request_records_20270'))).toHaveLength(4);
  });

  it('adds up what several write at once', async () => {
    const batches = Array.from({ length: 8 }, (_, index) =>
      Array.from({ length: 50 }, (_, at) => aRecord({ keyId: `key_${(index * 7 + at) % 5}`, model: `m${at % 3}` })),
    );
    await Promise.all(batches.map((batch) => write(batch, new RecordTable(database))));
    expect(await count()).toBe(400);
    const [sum] = await database.query('select sum(requests)::bigint as n, count(*) as rows from usage_days');
    expect(sum).toEqual({ n: 400, rows: 15 });
  });

  it('drops the days before the first that is kept, and leaves their totals', async () => {
    await write([
      aRecord({ arrivedAtMs: Date.parse('2024-03-01T00:00:00Z') }),
      aRecord({ arrivedAtMs: Date.parse('2024-03-02T00:00:00Z') }),
    ]);
    expect(await table.prune('2024-03-02')).toBe(1);
    expect(await count()).toBe(1);
    expect(await partitions()).not.toContain(nameOfDay('2024-03-01'));
    expect(await totals()).toHaveLength(2);
    await table.prune('2024-03-03');
  });

  it('drops a day that was detached by somebody who ended before dropping it', async () => {
    await table.makeDays(['2024-01-05']);
    await database.query('alter table request_records detach partition request_records_20240105');
    await table.prune('2024-01-06');
    expect(await partitions()).not.toContain(nameOfDay('2024-01-05'));
  });

  it('takes back a day that was detached and is wanted again', async () => {
    await table.makeDays(['2024-01-05']);
    await database.query('alter table request_records detach partition request_records_20240105');
    expect(await write([aRecord({ arrivedAtMs: Date.parse('2024-01-05T10:00:00Z') })], new RecordTable(database))).toBe(
      1,
    );
    await table.prune('2024-01-06');
  });

  it('makes a day again that another gateway pruned', async () => {
    const late = () => aRecord({ arrivedAtMs: Date.parse('2024-01-05T10:00:00Z') });
    await write([late()]);
    await new RecordTable(database).prune('2024-01-06');
    expect(await write([late()])).toBe(1);
    await table.prune('2024-01-06');
  });

  it('gives a chore to one of several, once an hour', async () => {
    const taken = await Promise.all(Array.from({ length: 5 }, () => new RecordTable(database).takeChore('prune')));
    expect(taken.filter((one) => one)).toHaveLength(1);
    expect(await table.takeChore('prune')).toBe(false);
    await database.query("update record_chores set taken_at = now() - interval '56 minutes'");
    expect(await table.takeChore('prune')).toBe(true);
    // The database's clock was ahead, and was put right.
    await database.query("update record_chores set taken_at = now() + interval '1 year'");
    expect(await table.takeChore('prune')).toBe(true);
    expect(await table.takeChore('prune')).toBe(false);
  });

  it('refuses a row that is none, with an error of its own', async () => {
    const line = JSON.stringify({ ...rowOf(aRecord()), record_id: 'no uuid' });
    await expect(table.write([line], [today])).rejects.toMatchObject({ code: '22P02' });
    expect(await table.write([lineOfRow(rowOf(aRecord({ recordId: randomUUID() })))], [today])).toBe(1);
  });
}

/** Used by the suites of each database. */
export const REAL_POSTGRES = 'a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)';

export function describeRealPostgres(suite: (url: string) => void): void {
  const url = process.env.TEST_POSTGRES_URL;
  describe.skipIf(url === undefined)(REAL_POSTGRES, () => suite(url!));
}
