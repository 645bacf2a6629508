import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterAll, describe } from 'vitest';
import { sqlDatabaseContract } from '../../sql-database.contract.js';
import { EmbeddedDatabase } from './embedded-database.js';

const folders: string[] = [];
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
  folders.push(folder);
  return folder;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe('the embedded database', () => {
  sqlDatabaseContract(async () => new EmbeddedDatabase({ dataFolder: newFolder(), timeoutMs: 1_000 }, logger));
});
