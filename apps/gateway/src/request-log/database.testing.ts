import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { EmbeddedDatabase } from '../stores/adapters/pglite/embedded-database.js';
import { makeSchema } from '../stores/adapters/postgres.testing.js';
import { PostgresDatabase } from '../stores/adapters/postgres-database.js';
import { MigratedDatabase } from '../stores/migrated-database.js';
import { readMigrations } from '../stores/migration-files.js';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../stores/sql-database.js';

const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** A schema of its own in a real Postgres, with all tables; another database on the same is had from `url`. */
export async function openPostgres(
  serverUrl: string,
  timeoutMs = 10_000,
): Promise<SqlDatabase & { readonly url: string }> {
  const schema = await makeSchema(serverUrl);
  return Object.assign(connectPostgres(schema.url, timeoutMs), { url: schema.url });
}

function connectPostgres(url: string, timeoutMs: number): SqlDatabase {
  const database = new PostgresDatabase({ url, connectionsMax: 4, timeoutMs }, silent);
  return new MigratedDatabase(database, readMigrations(), silent);
}

/** The embedded one, in a folder that goes with it. */
export async function openEmbedded(): Promise<SqlDatabase> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-records-'));
  const embedded = new EmbeddedDatabase({ dataFolder, timeoutMs: 20_000 }, silent);
  const database = new MigratedDatabase(embedded, readMigrations(), silent);
  const close = database.close.bind(database);
  return Object.assign(database, {
    close: async () => {
      await close();
      rmSync(dataFolder, { recursive: true, force: true });
    },
  });
}

/** A database that fails as it is told: before it has done a statement or a transaction, or after, so that nobody knows whether it has. */
export class UnreliableDatabase implements SqlDatabase {
  readonly trouble = undefined;
  /** Asked before each statement, and once for a transaction. */
  fate: () => 'works' | 'fails before' | 'fails after' = () => 'works';

  constructor(private readonly database: SqlDatabase) {}

  async query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    const fate = this.fate();
    if (fate === 'fails before') throw new DatabaseUnavailable('The database at test can not be asked: it is away.');
    const rows = await this.database.query<Row>(sql, values);
    if (fate === 'fails after') throw new DatabaseUnavailable('The database at test can not be asked: it broke off.');
    return rows;
  }

  async transaction<T>(work: (query: SqlQuery) => Promise<T>): Promise<T> {
    const fate = this.fate();
    if (fate === 'fails before') throw new DatabaseUnavailable('The database at test can not be asked: it is away.');
    const result = await this.database.transaction(work);
    if (fate === 'fails after') throw new DatabaseUnavailable('The database at test can not be asked: it broke off.');
    return result;
  }

  async close(): Promise<void> {}
}

/** A database that does everything, and takes its time as it is told. */
export class SlowDatabase implements SqlDatabase {
  readonly trouble = undefined;
  /** Waited for before each statement, and before the end of a transaction, which is `commit`. */
  before: (sql: string) => Promise<unknown> = async () => {};

  constructor(private readonly database: SqlDatabase) {}

  async query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    await this.before(sql);
    return this.database.query<Row>(sql, values);
  }

  transaction<T>(work: (query: SqlQuery) => Promise<T>): Promise<T> {
    return this.database.transaction(async (query) => {
      const result = await work(async (sql, values) => {
        await this.before(sql);
        return query(sql, values);
      });
      await this.before('commit');
      return result;
    });
  }

  async close(): Promise<void> {}
}
