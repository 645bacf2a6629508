import { randomBytes } from 'node:crypto';
import { createLogger } from '@millrace/runtime';
import { afterAll, describe } from 'vitest';
import { backgroundResponsesContract } from './background-responses.contract.js';
import { openEmbedded, openPostgres } from './request-log/database.testing.js';
import { BullMqJobQueue } from './stores/adapters/bullmq-job-queue.js';
import { RedisConnection } from './stores/adapters/redis-connection.js';

const postgresUrl = process.env.TEST_POSTGRES_URL;
const redisUrl = process.env.TEST_REDIS_URL;
const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });

describe('in the embedded database', { timeout: 60_000 }, () => {
  backgroundResponsesContract(openEmbedded);
});

describe.skipIf(postgresUrl === undefined)(
  'in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    backgroundResponsesContract(() => openPostgres(postgresUrl!));
  },
);

describe.skipIf(redisUrl === undefined)(
  'with a queue in Redis (TEST_REDIS_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    const prefix = `test-${randomBytes(6).toString('hex')}`;
    async function onRedis() {
      const connection = new RedisConnection({ url: redisUrl!, timeoutMs: 2_000 }, silent);
      await connection.ready(5_000);
      const options = { queue: 'responses', prefix, leaseMs: 4_000, jobsMax: 1_000, timeoutMs: 5_000, pauseMsMax: 100 };
      const responseJobs = new BullMqJobQueue(connection, options);
      const close = async () => {
        await responseJobs.close();
        await connection.close();
      };
      return { responseJobs, connection, close };
    }
    async function forgetJobs(): Promise<void> {
      const { connection, close } = await onRedis();
      await connection.client.del(await connection.client.keys(`${prefix}:*`));
      await close();
    }
    afterAll(forgetJobs);
    backgroundResponsesContract(openEmbedded, onRedis, forgetJobs);
  },
);
