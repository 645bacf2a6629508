import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe } from 'vitest';
import { semanticCacheContract } from '../../../cache/semantic-cache.contract.js';
import { MigratedDatabase } from '../../migrated-database.js';
import { readMigrations } from '../../migration-files.js';
import type { SqlDatabase } from '../../sql-database.js';
import { vectorStoreContract } from '../../vector-store.contract.js';
import { PgvectorStore } from '../pgvector-store.js';
import { EmbeddedDatabase } from './embedded-database.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

// A start takes a second of a core, and many times as long on a machine that has other things to do.
describe('pgvector in the embedded database', { timeout: 120_000 }, () => {
  let dataFolder: string;
  let database: SqlDatabase;
  beforeAll(async () => {
    dataFolder = mkdtempSync(join(tmpdir(), 'millrace-vectors-'));
    database = new MigratedDatabase(
      new EmbeddedDatabase({ dataFolder, timeoutMs: 20_000 }, logger),
      readMigrations(),
      logger,
    );
    await database.query('select 1');
  }, 120_000);
  afterAll(async () => {
    await database.close();
    rmSync(dataFolder, { recursive: true, force: true });
  });

  const open = async () => new PgvectorStore(database, { timeoutMs: 20_000 });
  vectorStoreContract(open);
  semanticCacheContract(open);
});
