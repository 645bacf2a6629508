import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { onTestFinished } from 'vitest';

export interface TestSchema {
  /** Of the same database, with the schema as the only one on the search path. */
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** A new, empty schema of a real Postgres, so that tests can run side by side. */
export async function makeSchema(url: string): Promise<TestSchema> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await ask(url, `create schema ${name}`);
  const own = new URL(url);
  own.searchParams.set('options', `-c search_path=${name}`);
  return { url: own.href, name, drop: () => ask(url, `drop schema ${name} cascade`) };
}

/** The same, dropped at the end of the test that asks for it. */
export async function schemaOfItsOwn(url: string): Promise<TestSchema> {
  const schema = await makeSchema(url);
  onTestFinished(() => schema.drop());
  return schema;
}

/** By a connection of its own, whatever the one under test is doing. */
async function ask(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
