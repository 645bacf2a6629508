import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseUnavailable, type SqlDatabase } from './sql-database.js';

/** What every SqlDatabase promises. The database has an empty schema of its own; a statement may take `timeoutMs`. */
export function sqlDatabaseContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  beforeAll(async () => {
    database = await open();
    await database.query('create table things (id bigint primary key, name text, facts jsonb, at timestamptz)');
  });
  afterAll(() => database.close());

  const echo = async (type: string, value: unknown) =>
    (await database.query<{ value: unknown }>(`select $1::${type} as value`, [value]))[0]?.value;

  describe('values', () => {
    it.each([
      ['text', 'text', 'a'],
      ['empty text', 'text', ''],
      ['quotes and statements as plain text', 'text', `'; drop table things; --"\\`],
      ['every plane of Unicode', 'text', 'ß→日本語😀\u{10ffff}\u200d\r\n\t\u0001'],
      ['text of a megabyte', 'text', 'x😀'.repeat(200_000)],
      ['whole numbers', 'bigint', Number.MAX_SAFE_INTEGER],
      ['negative ones', 'bigint', -1],
      ['32 bit', 'integer', 2 ** 31 - 1],
      ['fractions', 'double precision', 0.1],
      ['truth', 'boolean', true],
      ['untruth', 'boolean', false],
      ['moments', 'timestamptz', new Date('2026-02-28T23:59:59.999Z')],
      ['bytes', 'bytea', Buffer.from([0, 1, 255, 0x5c, 0x27])],
      ['arrays of text', 'text[]', ['a', '', 'b"\\,{}', "c'", 'null', '😀']],
      ['an empty array', 'text[]', []],
      ['arrays of whole numbers', 'bigint[]', [1, 2 ** 53 - 1, null]],
      ['null', 'text', null],
    ])('come back as they were given: %s', async (_name, type, value) => {
      expect(await echo(type, value)).toEqual(value);
    });

    it('takes undefined for null', async () => {
      expect(await echo('text', undefined)).toBeNull();
    });

    it('takes JSON as text, and gives it as an object', async () => {
      const facts = { list: [1, 'a', null], text: '\'"\\😀', deep: { er: true } };
      expect(await echo('jsonb', JSON.stringify(facts))).toEqual(facts);
      expect(await echo('jsonb', JSON.stringify([1, 2]))).toEqual([1, 2]);
    });

    it('gives sums as text unless they are cast', async () => {
      const sums = 'select sum(n) as plain, sum(n)::bigint as cast from (values (1::bigint), (2)) as v(n)';
      expect(await database.query(sums)).toEqual([{ plain: '3', cast: 3 }]);
    });

    it('refuses text with NUL, and says so', async () => {
      await expect(echo('text', 'a\0b')).rejects.toMatchObject({ code: '22021' });
      await expect(echo('jsonb', JSON.stringify('a\0b'))).rejects.toMatchObject({ code: '22P05' });
      expect(await echo('text', 'ab')).toBe('ab');
    });

    it('refuses numbers that JavaScript can not hold rather than change them', async () => {
      await expect(database.query('select 9007199254740993::bigint')).rejects.toThrow('9007199254740993');
      expect(await echo('text', 'ab')).toBe('ab');
    });

    it('knows a thousand of them in one statement', async () => {
      const values = Array.from({ length: 1_000 }, (_, index) => index);
      const places = values.map((index) => `$${index + 1}::int`).join(',');
      const [row] = await database.query<{ all: number[] }>(`select array[${places}] as all`, values);
      expect(row?.all).toEqual(values);
    });
  });

  describe('statements', () => {
    it('answers what was changed', async () => {
      const insert =
        'insert into things (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name returning id, name';
      expect(await database.query(insert, [1, 'one'])).toEqual([{ id: 1, name: 'one' }]);
      expect(await database.query(insert, [1, 'first'])).toEqual([{ id: 1, name: 'first' }]);
      const nothing = 'insert into things (id) values ($1) on conflict do nothing returning id';
      expect(await database.query(nothing, [1])).toEqual([]);
      expect(await database.query('delete from things returning id')).toEqual([{ id: 1 }]);
    });

    it('brings tens of thousands of rows', async () => {
      const rows = await database.query<{ n: number }>(
        "select n, repeat('x', 100) as x from generate_series(1, 20000) as n",
      );
      expect(rows).toHaveLength(20_000);
      expect(rows.at(-1)).toEqual({ n: 20_000, x: 'x'.repeat(100) });
    });

    it('tells what Postgres refuses with its own code, and goes on', async () => {
      await expect(database.query('selec 1')).rejects.toMatchObject({ code: '42601' });
      await expect(database.query('select * from nowhere')).rejects.toMatchObject({ code: '42P01' });
      await expect(database.query('select 1 / $1::int', [0])).rejects.toMatchObject({ code: '22012' });
      await database.query('insert into things (id) values (7)');
      await expect(database.query('insert into things (id) values (7)')).rejects.toMatchObject({ code: '23505' });
      await database.query('delete from things');
      expect(database.trouble).toBeUndefined();
    });

    it('takes several without values at once, all or none', async () => {
      expect(await database.query('insert into things (id) values (1); select count(*) as n from things')).toEqual([
        { n: 1 },
      ]);
      await expect(database.query('delete from things; selec 1')).rejects.toThrow('syntax');
      expect(await database.query('select count(*) as n from things')).toEqual([{ n: 1 }]);
      await database.query('delete from things');
    });

    it('answers a hundred that come at once', async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => echo('int', index)));
      expect(answers).toEqual(Array.from({ length: 100 }, (_, index) => index));
    });
  });

  describe('transactions', () => {
    const count = async () => (await database.query<{ n: number }>('select count(*) as n from things'))[0]?.n;

    it('keep what they did, and answer', async () => {
      const answer = await database.transaction(async (query) => {
        await query('insert into things (id) values (1)');
        await query('insert into things (id) values ($1)', [2]);
        return 'done';
      });
      expect(answer).toBe('done');
      expect(await count()).toBe(2);
      await database.query('delete from things');
    });

    it('keep nothing when their work throws', async () => {
      const work = database.transaction(async (query) => {
        await query('insert into things (id) values (1)');
        throw new Error('changed my mind');
      });
      await expect(work).rejects.toThrow('changed my mind');
      expect(await count()).toBe(0);
    });

    it('keep nothing when a statement is refused', async () => {
      const work = database.transaction(async (query) => {
        await query('insert into things (id) values (1)');
        await query('insert into things (id) values (1)');
      });
      await expect(work).rejects.toMatchObject({ code: '23505' });
      expect(await count()).toBe(0);
    });

    it('say so when their work swallowed a refusal, and nothing was kept', async () => {
      const work = database.transaction(async (query) => {
        await query('insert into things (id) values (1)');
        await query('selec 1').catch(() => undefined);
      });
      await expect(work).rejects.toThrow('rolled back');
      expect(await count()).toBe(0);
    });

    it('take no statement after their end', async () => {
      let late: SqlDatabase['query'] | undefined;
      await database.transaction(async (query) => {
        late = query;
      });
      await expect(late?.('select 1')).rejects.toThrow('after the end');
    });

    it('do not see each other half done', async () => {
      await database.query('insert into things (id, name) values (1, $1)', ['0']);
      const add = () =>
        database.transaction(async (query) => {
          const [row] = await query<{ name: string }>('select name from things where id = 1 for update');
          await query('update things set name = $1 where id = 1', [String(Number(row?.name) + 1)]);
        });
      await Promise.all(Array.from({ length: 20 }, add));
      expect(await database.query('select name from things')).toEqual([{ name: '20' }]);
      await database.query('delete from things');
    });

    it('make tables, or none', async () => {
      const work = database.transaction(async (query) => {
        await query('create table half (id int); create index half_id on half (id)');
        throw new Error('not this time');
      });
      await expect(work).rejects.toThrow('not this time');
      expect(await database.query("select to_regclass('half') as half")).toEqual([{ half: null }]);
    });
  });

  describe('partitions', () => {
    it('are made, filled, detached without a lock, and dropped', async () => {
      await database.query(`
        create table daily (day date not null, id bigint not null, primary key (day, id)) partition by range (day);
        create table daily_1 partition of daily for values from ('2026-01-01') to ('2026-01-02');
        create table daily_2 (like daily including all);
        alter table daily attach partition daily_2 for values from ('2026-01-02') to ('2026-01-03')`);
      await database.query("insert into daily (day, id) values ('2026-01-01', 1), ('2026-01-02', 2)");
      await expect(database.query("insert into daily (day, id) values ('2026-01-05', 1)")).rejects.toMatchObject({
        code: '23514',
      });
      await database.query('alter table daily detach partition daily_1 concurrently');
      expect(await database.query('select id from daily')).toEqual([{ id: 2 }]);
      await database.query('drop table daily_1; drop table daily');
    });
  });

  describe('time', () => {
    it('runs out for a statement, and the next one is answered', async () => {
      const slow = database.query('select pg_sleep(60)');
      await expect(slow).rejects.toBeInstanceOf(DatabaseUnavailable);
      expect(database.trouble).toContain('sqlTimeoutMs');
      await expect.poll(() => echo('int', 1).catch(String), { timeout: 15_000, interval: 100 }).toBe(1);
      expect(database.trouble).toBeUndefined();
    });
  });

  describe('the end', () => {
    it('comes to what is running, and to everything after it', async () => {
      const running = database.query('select pg_sleep(60)');
      const ended = expect(running).rejects.toBeInstanceOf(DatabaseUnavailable);
      await database.close();
      await ended;
      await expect(database.query('select 1')).rejects.toBeInstanceOf(DatabaseUnavailable);
      await expect(database.transaction(async () => 1)).rejects.toThrow('closed');
      await database.close();
    });
  });
}
