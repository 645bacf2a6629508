import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { semanticCacheContract } from '../../cache/semantic-cache.contract.js';
import { MigratedDatabase } from '../migrated-database.js';
import { readMigrations } from '../migration-files.js';
import { DatabaseUnavailable, type SqlDatabase } from '../sql-database.js';
import { vectorStoreContract } from '../vector-store.contract.js';
import { VectorStoreUnavailable } from '../vector-store.js';
import { PgvectorStore } from './pgvector-store.js';
import { makeSchema, type TestSchema } from './postgres.testing.js';
import { PostgresDatabase } from './postgres-database.js';

const url = process.env.TEST_POSTGRES_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const { signal } = new AbortController();

/** Asked before anything is tried, since Debian's Postgres comes without it. */
const hasPgvector = await isThere();

async function isThere(): Promise<boolean> {
  if (url === undefined) return false;
  const database = new PostgresDatabase({ url, connectionsMax: 1, timeoutMs: 5_000 }, logger);
  try {
    return (await database.query("select from pg_available_extensions where name = 'vector'")).length > 0;
  } finally {
    await database.close();
  }
}

const why =
  url === undefined ? 'TEST_POSTGRES_URL is not set: `make test-services`' : 'this Postgres has no pgvector to create';
describe.skipIf(!hasPgvector)(`pgvector in a real Postgres (${hasPgvector ? 'it is there' : why})`, () => {
  let schema: TestSchema;
  let database: SqlDatabase;
  beforeAll(async () => {
    schema = await makeSchema(url!);
    const postgres = new PostgresDatabase({ url: schema.url, connectionsMax: 4, timeoutMs: 5_000 }, logger);
    database = new MigratedDatabase(postgres, readMigrations(), logger);
  });
  afterAll(async () => {
    await database.close();
    await schema.drop();
  });
  const open = async () => new PgvectorStore(database, { timeoutMs: 5_000 });
  vectorStoreContract(open);
  semanticCacheContract(open);
});

/** Answers what it is told to. */
class ScriptedDatabase implements SqlDatabase {
  readonly trouble = undefined;
  asked = 0;
  constructor(private readonly answer: (sql: string) => Promise<readonly unknown[]>) {}
  query<Row>(sql: string): Promise<readonly Row[]> {
    this.asked++;
    return this.answer(sql) as Promise<readonly Row[]>;
  }
  transaction<T>(): Promise<T> {
    throw new Error('nothing is written here');
  }
  async close(): Promise<void> {}
}

describe('a database', () => {
  const spec = { name: 'test', dimension: 3 };

  it('without pgvector is said to lack it, with what to do, and is not asked by every request', async () => {
    let nowMs = 0;
    const database = new ScriptedDatabase(async () => [{ schema: null, there: false }]);
    const store = new PgvectorStore(database, { timeoutMs: 1_000 }, () => nowMs);
    for (let times = 0; times < 5; times++) {
      await expect(store.collection(spec).count({}, signal)).rejects.toThrow(/has no pgvector\. Install.*qdrantUrl/);
    }
    expect(store.trouble).toMatch(/has no pgvector/);
    expect(database.asked).toBe(1);
    nowMs = 61_000;
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(VectorStoreUnavailable);
    expect(database.asked).toBe(2);
  });

  it('that is away is a store that is away, until it is back', async () => {
    let isAway = true;
    const database = new ScriptedDatabase(async (sql) => {
      if (isAway) throw new DatabaseUnavailable('The database is gone fishing.');
      return sql.includes('pg_extension') ? [{ schema: 'public', there: true }] : [];
    });
    const store = new PgvectorStore(database, { timeoutMs: 1_000 });
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(VectorStoreUnavailable);
    expect(store.trouble).toBe('The database is gone fishing.');
    isAway = false;
    expect(await store.collection(spec).count({}, signal)).toBe(0);
    expect(store.trouble).toBeUndefined();
  });

  it('that says nothing is given up in time', async () => {
    const store = new PgvectorStore(new ScriptedDatabase(() => new Promise(() => {})), { timeoutMs: 20 });
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(/within 20 ms \(vectorTimeoutMs\)/);
    expect(store.trouble).toMatch(/vectorTimeoutMs/);
  });

  it('is asked for what is nearest by two at a time, whose time begins when they are asked, in order', async () => {
    let searches = 0;
    const held = Promise.withResolvers<void>();
    const database = new ScriptedDatabase(async (sql) => {
      if (sql.includes('pg_extension')) return [{ schema: 'public', there: true }];
      if (++searches <= 2) await held.promise; // Later ones are answered at once.
      return [];
    });
    const store = new PgvectorStore(database, { timeoutMs: 200 });
    const leaving = new AbortController();
    const ended: string[] = [];
    const ask = (name: string, by = signal) =>
      store
        .collection(spec)
        .nearest({ vector: [1, 0, 0], limit: 1 }, by)
        .then(
          () => ended.push(name),
          (error: unknown) => ended.push(`${name}: ${(error as Error).message}`),
        );
    const all = [ask('one'), ask('two'), ask('three'), ask('left', leaving.signal), ask('four')];
    await expect.poll(() => ended.length, { timeout: 30_000 }).toBe(2);
    expect(ended).toEqual([expect.stringMatching(/one: .*200 ms/), expect.stringMatching(/two: .*200 ms/)]);
    // Nobody waits for these any more; the database still has them to do.
    expect(searches).toBe(2);
    leaving.abort(new Error('gone'));
    held.resolve();
    await Promise.all(all);
    expect(ended.slice(2)).toEqual(['left: gone', 'three', 'four']);
    expect(searches).toBe(4);
  });

  it('that another one without tables came in the place of is said to lack them', async () => {
    const missing = Object.assign(new Error('relation "vector_points" does not exist'), { code: '42P01' });
    const store = new PgvectorStore(
      new ScriptedDatabase(async (sql) => {
        if (sql.includes('pg_extension')) return [{ schema: 'public', there: true }];
        throw missing;
      }),
      { timeoutMs: 1_000 },
    );
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(VectorStoreUnavailable);
  });
});
