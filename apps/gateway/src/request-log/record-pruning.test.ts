import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SqlDatabase } from '../stores/sql-database.js';
import { openPostgres } from './database.testing.js';
import { aRecord } from './record.testing.js';
import { nameOfDay } from './record-days.js';
import { lineOfRow, rowOf } from './record-row.js';
import { describeRealPostgres } from './record-table.contract.js';
import { RecordTable } from './record-table.js';

const OLD = '2025-01-01';
const KEPT = '2025-01-02';

describeRealPostgres((url) => {
  let database: SqlDatabase;
  let table: RecordTable;
  beforeEach(async () => {
    // Statements there may take two seconds: what waits for a lock is seen to wait, and the test goes on.
    database = await openPostgres(url, 2_000);
    table = new RecordTable(database);
    await write(OLD);
    await write(KEPT);
  });
  afterEach(() => database.close());

  const write = (day: string) => {
    const row = rowOf(aRecord({ arrivedAtMs: Date.parse(`${day}T12:00:00Z`) }));
    return table.write([lineOfRow(row)], [day]);
  };
  const days = async () =>
    (await database.query<{ day: string }>('select day::text from request_records order by 1')).map(({ day }) => day);

  it('drops no day while somebody reads, holds up nobody meanwhile, and drops it afterwards', async () => {
    await database.transaction(async (query) => {
      await query('select count(*) from request_records');
      await expect(table.prune(KEPT)).rejects.toThrow(/2,000 ms/);
      // Rows go into other days, and days are made, as if nothing were.
      expect(await write(KEPT)).toBe(1);
      expect(await write('2025-01-03')).toBe(1);
    });
    expect(await days()).toEqual([KEPT, KEPT, '2025-01-03']);
    await new RecordTable(database).prune(KEPT);
    const [found] = await database.query<{ there: boolean }>('select to_regclass($1) is not null as there', [
      nameOfDay(OLD),
    ]);
    expect(found).toEqual({ there: false });
    expect(await days()).toEqual([KEPT, KEPT, '2025-01-03']);
  });

  it('refuses a row of a day that is half gone, rather than keep those behind it waiting', async () => {
    await database.transaction(async (query) => {
      await query('select count(*) from request_records');
      await expect(table.prune(KEPT)).rejects.toThrow(/2,000 ms/);
      await expect(write(OLD)).rejects.toMatchObject({ code: '23514' });
      expect(await write(KEPT)).toBe(1);
    });
  });

  it('lets several prune at once', async () => {
    const all = await Promise.allSettled([1, 2, 3].map(() => new RecordTable(database).prune(KEPT)));
    await new RecordTable(database).prune(KEPT);
    expect(all.some(({ status }) => status === 'fulfilled')).toBe(true);
    expect(await days()).toEqual([KEPT]);
  });

  it('finds the records of a request, a trace and a key by an index', async () => {
    const plans = await database.transaction(async (query) => {
      await query('set local enable_seqscan = off');
      const explain = (condition: string) =>
        query<{ 'QUERY PLAN': string }>(`explain select * from ${nameOfDay(KEPT)} where ${condition}`);
      return [
        await explain("request_id = 'r'"),
        await explain("trace_id = 't'"),
        await explain("key_id = 'k' and arrived_at > now()"),
      ];
    });
    for (const plan of plans) expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toMatch(/Index/);
  });
});
