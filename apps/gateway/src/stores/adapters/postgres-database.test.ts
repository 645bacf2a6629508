import { createLogger } from '@millrace/runtime';
import { afterAll, describe } from 'vitest';
import { migratedDatabaseContract } from '../migrated-database.contract.js';
import { sqlDatabaseContract } from '../sql-database.contract.js';
import { makeSchema, type TestSchema } from './postgres.testing.js';
import { PostgresDatabase } from './postgres-database.js';

const url = process.env.TEST_POSTGRES_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

describe.skipIf(url === undefined)('a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)', () => {
  const schemas: TestSchema[] = [];
  const open = async (timeoutMs: number) => {
    const schema = await makeSchema(url!);
    schemas.push(schema);
    return new PostgresDatabase({ url: schema.url, connectionsMax: 4, timeoutMs }, logger);
  };
  afterAll(async () => {
    for (const schema of schemas) await schema.drop();
  });

  sqlDatabaseContract(() => open(1_000));

  migratedDatabaseContract(
    () => open(5_000),
    async (database) => {
      const [{ name } = { name: '' }] = await database.query<{ name: string }>('select current_schema() as name');
      await database.query(`drop schema ${name} cascade; create schema ${name}`);
    },
  );
});
