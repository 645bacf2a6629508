import { createLogger } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MigratedDatabase } from './migrated-database.js';
import { type Migration, migrationOf, readMigrations } from './migration-files.js';
import { DatabaseUnavailable, type SqlDatabase } from './sql-database.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const ONE = migrationOf('001_one.sql', 'create table one (id int primary key); insert into one values (1);');
const TWO = migrationOf('002_two.sql', 'create table two (id int references one);');

/** Applying migrations, on any database. `empty` brings it back to a schema without a table. */
export function migratedDatabaseContract(
  open: () => Promise<SqlDatabase>,
  empty: (database: SqlDatabase) => Promise<void>,
) {
  let database: SqlDatabase;
  const opened: MigratedDatabase[] = [];
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());
  beforeEach(() => empty(database));
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((migrated) => migrated.close()));
  });

  const migrate = (...migrations: Migration[]) => {
    // The database outlives what is tried on it.
    const lent: SqlDatabase = {
      query: (sql, values) => database.query(sql, values),
      transaction: (work, timeoutMs) => database.transaction(work, timeoutMs),
      trouble: undefined,
      close: async () => undefined,
    };
    const migrated = new MigratedDatabase(lent, migrations, logger);
    opened.push(migrated);
    return migrated;
  };
  const applied = async () =>
    (await database.query<{ name: string }>('select name from schema_migrations order by number')).map(
      ({ name }) => name,
    );

  describe('a database with migrations', () => {
    it('has what was shipped, also when somebody had run the files by hand', async () => {
      const shipped = readMigrations();
      for (const { sql, extension } of shipped) if (extension === undefined) await database.query(sql);
      const migrated = migrate(...shipped);
      expect(await migrated.query('select count(*) as n from keys')).toEqual([{ n: 0 }]);
      expect(await migrated.query('select count(*) as n from request_records')).toEqual([{ n: 0 }]);
      expect(await applied()).toEqual(expect.arrayContaining(['001_keys.sql', '002_records.sql']));
    });

    it('has each file once, however often and by whomever it is started', async () => {
      const several = [migrate(ONE), migrate(ONE, TWO), migrate(ONE, TWO), migrate(ONE)];
      for (const each of several) expect(await each.query('select id from one')).toEqual([{ id: 1 }]);
      expect(await applied()).toEqual(['001_one.sql', '002_two.sql']);
      expect(await migrate(ONE, TWO).query('select id from two')).toEqual([]);
      expect(several.map(({ trouble }) => trouble)).toEqual([undefined, undefined, undefined, undefined]);
    });

    it('serves an old version after a new one has changed it', async () => {
      await migrate(ONE, TWO).query('select 1');
      expect(await migrate(ONE).query('select id from one')).toEqual([{ id: 1 }]);
    });

    it('refuses a file that was changed, in a sentence', async () => {
      await migrate(ONE).query('select 1');
      const changed = migrate(migrationOf('001_one.sql', `${ONE.sql} -- a little`));
      await expect(changed.query('select 1')).rejects.toThrow(DatabaseUnavailable);
      expect(changed.trouble).toMatch(/001_one\.sql is not what this database was set up with/);
    });

    it('keeps nothing of a file that fails half-way, says which, and goes on once it can', async () => {
      const broken = migrationOf(
        '002_two.sql',
        'create table two (id int); create table three (id int references nowhere);',
      );
      const migrated = migrate(ONE, broken);
      await expect(migrated.query('select 1')).rejects.toThrow(/002_two\.sql.*nowhere/);
      await expect(migrated.transaction(async () => 1)).rejects.toThrow(DatabaseUnavailable);
      expect(await applied()).toEqual(['001_one.sql']);
      expect(await database.query("select to_regclass('two') as two")).toEqual([{ two: null }]);
      await database.query('create table nowhere (id int primary key)');
      const answer = () => migrated.query('select id from three').catch(String);
      await expect.poll(answer, { timeout: 15_000 }).toEqual([]);
      expect(migrated.trouble).toBeUndefined();
    });

    it('does without a file whose extension is not to be had', async () => {
      const needy = migrationOf(
        '002_two.sql',
        '-- requires-extension: never_heard_of\n\ncreate extension never_heard_of;',
      );
      const migrated = migrate(ONE, needy);
      expect(await migrated.query('select id from one')).toEqual([{ id: 1 }]);
      expect(await applied()).toEqual(['001_one.sql']);
    });

    it('sets the tables up anew when an empty database comes back in the place of the old one', async () => {
      const migrated = migrate(ONE);
      await migrated.query('select 1');
      await empty(database);
      await expect(migrated.query('select id from one')).rejects.toMatchObject({ code: '42P01' });
      await expect.poll(() => migrated.query('select id from one').catch(String)).toEqual([{ id: 1 }]);
    });
  });
}
