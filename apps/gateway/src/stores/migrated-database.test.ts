import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { MigratedDatabase } from './migrated-database.js';
import { migrationOf } from './migration-files.js';
import { DatabaseUnavailable, type SqlDatabase } from './sql-database.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const ONE = migrationOf('001_one.sql', 'create table one (id int)');

/** A database that is away until it is told otherwise; what is asked then is answered as if everything were applied. */
class ComingDatabase implements SqlDatabase {
  trouble = 'it is away';
  isThere = false;
  version = 150_004;
  isClosed = false;

  async query<Row>(sql: string): Promise<readonly Row[]> {
    if (!this.isThere) throw new DatabaseUnavailable(this.trouble);
    if (sql.includes('server_version_num')) return [{ number: this.version, text: '14.2' }] as Row[];
    if (sql.includes('to_regclass')) return [{ there: true }] as Row[];
    return sql.includes('schema_migrations') ? ([ONE] as Row[]) : [];
  }

  async transaction<T>(): Promise<T> {
    throw new Error('nothing is to be applied');
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

describe('a database that is away when the gateway starts', () => {
  it('refuses statements, saying what is waited for, and serves once it is there', async () => {
    const coming = new ComingDatabase();
    const database = new MigratedDatabase(coming, [ONE], logger);
    await expect(database.query('select 1')).rejects.toThrow('it is away');
    expect(database.trouble).toBe('it is away');
    coming.isThere = true;
    coming.trouble = undefined as unknown as string;
    await expect.poll(() => database.query('select 1').catch(String), { timeout: 5_000 }).toEqual([]);
    expect(database.trouble).toBeUndefined();
    await database.close();
    expect(coming.isClosed).toBe(true);
  });

  it('refuses a Postgres that is too old, and says which would do', async () => {
    const old = Object.assign(new ComingDatabase(), { isThere: true, version: 140_002 });
    const database = new MigratedDatabase(old, [ONE], logger);
    await expect(database.query('select 1')).rejects.toThrow(/Postgres 14\.2, and 15 or newer/);
    await database.close();
  });

  it('stops asking when it is closed', async () => {
    const coming = new ComingDatabase();
    const database = new MigratedDatabase(coming, [ONE], logger);
    await database.close();
    await expect(database.query('select 1')).rejects.toThrow(DatabaseUnavailable);
  });
});
