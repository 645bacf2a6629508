import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedDatabase } from '../stores/adapters/pglite/embedded-database.js';
import { makeSchema, type TestSchema } from '../stores/adapters/postgres.testing.js';
import { PostgresDatabase } from '../stores/adapters/postgres-database.js';
import { MigratedDatabase } from '../stores/migrated-database.js';
import { readMigrations } from '../stores/migration-files.js';
import { SqlKeySource } from './key-source.js';
import { aKey, keyStoreContract, SECRET } from './key-store.contract.js';
import { KeyStore } from './key-store.js';

const url = process.env.TEST_POSTGRES_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

describe('keys in the embedded database', () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-keys-'));
  afterAll(() => rmSync(dataFolder, { recursive: true, force: true }));
  keyStoreContract(
    async () =>
      new MigratedDatabase(new EmbeddedDatabase({ dataFolder, timeoutMs: 5_000 }, logger), readMigrations(), logger),
  );
});

describe.skipIf(url === undefined)(
  'keys in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  () => {
    let schema: TestSchema;
    beforeAll(async () => {
      schema = await makeSchema(url!);
    });
    afterAll(() => schema.drop());

    const open = () => new PostgresDatabase({ url: schema.url, connectionsMax: 8, timeoutMs: 5_000 }, logger);
    keyStoreContract(async () => new MigratedDatabase(open(), readMigrations(), logger));

    it('tells of a change that was committed late, though others came after it', async () => {
      const database = open();
      const store = new KeyStore(database, SECRET, { keysMax: 1_000 });
      const source = new SqlKeySource(database, SECRET);
      const [slow, quick] = [await store.create(aKey()), await store.create(aKey())];
      let { seen } = await source.load(() => {});
      const ids = async () => {
        const changes = (await source.changesSince(seen))!;
        seen = changes.seen;
        return changes.rows.map(({ id }) => id);
      };
      const begun = Promise.withResolvers<void>();
      const mayEnd = Promise.withResolvers<void>();
      const late = database.transaction(async (query) => {
        await query('update keys set revoked_at = now() where id = $1', [slow.row.id]);
        begun.resolve();
        await mayEnd.promise;
      });
      await begun.promise;
      await store.revoke(quick.row.id);
      expect(await ids()).toEqual([quick.row.id]);
      mayEnd.resolve();
      await late;
      expect(await ids()).toContain(slow.row.id);
      await database.close();
    });

    it('keeps to keysMax with two gateways that create at once', async () => {
      const gateways = [open(), open()];
      await gateways[0]!.query('truncate keys; truncate installation');
      const stores = gateways.map((database) => new KeyStore(database, SECRET, { keysMax: 7 }));
      const settled = await Promise.allSettled(Array.from({ length: 24 }, (_, at) => stores[at % 2]!.create(aKey())));
      expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
      const [{ count }] = (await gateways[1]!.query('select count(*) from keys')) as [{ count: number }];
      expect(count).toBe(7);
      await Promise.all(gateways.map((database) => database.close()));
    });
  },
);
