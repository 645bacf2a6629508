import { createLogger } from '@millrace/runtime';
import { describe } from 'vitest';
import { sqlDatabaseContract } from '../sql-database.contract.js';
import { makeSchema } from './postgres.testing.js';
import { PostgresDatabase } from './postgres-database.js';

const url = process.env.TEST_POSTGRES_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

describe.skipIf(url === undefined)('a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)', () => {
  sqlDatabaseContract(async () => {
    const schema = await makeSchema(url!);
    return new PostgresDatabase({ url: schema.url, connectionsMax: 4, timeoutMs: 1_000 }, logger);
  });
});
