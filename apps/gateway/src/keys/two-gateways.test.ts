import { randomUUID } from 'node:crypto';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { schemaOfItsOwn } from '../stores/adapters/postgres.testing.js';
import { PostgresDatabase } from '../stores/adapters/postgres-database.js';
import { RedisConnection } from '../stores/adapters/redis-connection.js';
import { MigratedDatabase } from '../stores/migrated-database.js';
import { readMigrations } from '../stores/migration-files.js';
import { RedisKeyNews } from './adapters/redis-key-news.js';
import { KeyRing } from './key-ring.js';
import { SqlKeySource } from './key-source.js';
import { aKey, SECRET } from './key-store.contract.js';
import { KeyStore } from './key-store.js';

const postgresUrl = process.env.TEST_POSTGRES_URL;
const redisUrl = process.env.TEST_REDIS_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** One gateway's keys, as `open-parts.ts` puts them together; its own look at the table comes only after a minute. */
async function openGateway(databaseUrl: string, channel: string) {
  const postgres = new PostgresDatabase({ url: databaseUrl, connectionsMax: 4, timeoutMs: 5_000 }, logger);
  const database = new MigratedDatabase(postgres, readMigrations(), logger);
  const redis = new RedisConnection({ url: redisUrl!, timeoutMs: 1_000 }, logger);
  const news = new RedisKeyNews(redis.client, channel);
  const options = { keySecret: SECRET, adminKey: 'an admin key', keyRefreshMs: 60_000, openWithoutKeys: false };
  const ring = new KeyRing(new SqlKeySource(database, SECRET), news, options, logger);
  onTestFinished(async () => {
    await Promise.all([ring.close(), news.close()]);
    await Promise.all([redis.close(), database.close()]);
  });
  await expect.poll(() => ring.usable, { timeout: 10_000 }).toBe(true);
  return { ring, news, store: new KeyStore(database, SECRET, { keysMax: 100 }) };
}

describe.skipIf(postgresUrl === undefined || redisUrl === undefined)(
  'two gateways on a real Redis and Postgres (TEST_REDIS_URL or TEST_POSTGRES_URL is not set: `make test-services`)',
  () => {
    it('know each key that the other made, and none that it revoked, long before they would look by themselves', async () => {
      const { url } = await schemaOfItsOwn(postgresUrl!);
      const channel = `test:${randomUUID()}`;
      const [one, two] = [await openGateway(url, channel), await openGateway(url, channel)];
      const { row, text } = await one.store.create(aKey({ name: 'shared' }));
      await one.news.tell();
      expect((await two.ring.authenticate(text)).keyName).toBe('shared');

      const outcome = async () => {
        try {
          return (await two.ring.authenticate(text)).keyId;
        } catch (error) {
          return (error as { code: string }).code;
        }
      };
      await one.store.revoke(row.id);
      await one.news.tell();
      await expect.poll(outcome, { interval: 5, timeout: 5_000 }).toBe('invalid_api_key');
    });
  },
);
