import { randomBytes } from 'node:crypto';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BatchStore } from './batch-jobs/batch-store.js';
import {
  type BatchStores,
  chatLine,
  linesOf,
  makeBatch,
  openBatchStores,
  PATIENCE,
  startBatchGateway,
  whenOver,
} from './batches.testing.js';
import type { Parts } from './open-parts.js';
import { BullMqJobQueue } from './stores/adapters/bullmq-job-queue.js';
import { RedisConnection } from './stores/adapters/redis-connection.js';

const postgresUrl = process.env.TEST_POSTGRES_URL;
const redisUrl = process.env.TEST_REDIS_URL;
const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });
const names = (count: number) => Array.from({ length: count }, (_, index) => `line-${index}`);

describe.skipIf(postgresUrl === undefined)(
  'batches in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 120_000 },
  () => {
    let stores: BatchStores;
    beforeAll(async () => {
      stores = await openBatchStores(postgresUrl!);
    });
    afterAll(() => stores[Symbol.asyncDispose]());

    it('are shared by gateways, which answer each line once', async () => {
      await using one = await startBatchGateway(stores);
      await using other = await startBatchGateway(stores);
      const lines = names(1_000).map((name) => chatLine(name));
      lines[500] = 'broken';
      const batch = await whenOver(one.client, (await makeBatch(one.client, lines)).id);
      expect(batch.request_counts).toEqual({ total: 1_000, completed: 999, failed: 1 });
      const answers = await linesOf(other.client, batch.output_file_id);
      expect(answers.map(({ custom_id }) => custom_id)).toEqual(names(1_000).filter((_, at) => at !== 500));
      expect(one.worker.started.length + other.worker.started.length).toBe(999);
    });

    it('end when they are cancelled while two gateways are at them', async () => {
      const slow = { script: () => ({ answer: ['x'], stepsBeforeFirst: 300 }) };
      await using one = await startBatchGateway(stores, {}, [slow]);
      await using _other = await startBatchGateway(stores, {}, [slow]);
      const made = await makeBatch(
        one.client,
        names(1_000).map((name) => chatLine(name)),
      );
      await expect
        .poll(async () => (await one.client.batches.retrieve(made.id)).request_counts?.completed, PATIENCE)
        .toBeGreaterThan(0);
      await one.client.batches.cancel(made.id);
      const batch = await whenOver(one.client, made.id);
      expect(batch.status).toBe('cancelled');
      expect(await linesOf(one.client, batch.output_file_id)).toHaveLength(batch.request_counts!.completed);
    });

    it('end after a line that is being kept just then, and neither waits for the other', async () => {
      const { database } = stores;
      const store = new BatchStore(database);
      const batch = await store.create(
        {
          keyId: null,
          endpoint: '/v1/completions',
          inputFileId: 'file-1',
          completionWindow: '24h',
          windowSeconds: 86_400,
          metadata: null,
          outputExpiresAfter: null,
        },
        1_000,
      );
      const { id } = batch!;
      const slice = { slice: 0, firstLine: 1, byteFrom: 0, bytes: 10, duplicates: [] };
      await store.checked(id, { kind: 'valid', slices: [slice], lines: 1, model: 'm' });
      let ended = false;
      const ending = await database.transaction(async (query) => {
        // As whoever keeps a line has it: its slice first, and its batch once the line is there.
        await query('select from batch_slices where batch_id = $1 and slice = 0 for share', [id]);
        const ending = store.end(id, 'cancelled').finally(() => {
          ended = true;
        });
        const blocked = `select count(*)::int as count from pg_stat_activity
          where wait_event_type = 'Lock' and query like '%batch_slices%for update%' and pid <> pg_backend_pid()`;
        await expect
          .poll(async () => (await database.query<{ count: number }>(blocked))[0]!.count, PATIENCE)
          .toBeGreaterThan(0);
        await query('update batches set completed = completed + 1 where id = $1', [id]);
        expect(ended).toBe(false);
        return { ending };
      });
      expect(await ending.ending).toMatchObject({ ending: 'cancelled', completed: 1 });
      await store.abandon(id, []);
    });
  },
);

describe.skipIf(redisUrl === undefined)(
  'batches whose queue is in Redis (TEST_REDIS_URL is not set: `make test-services`)',
  { timeout: 120_000 },
  () => {
    let stores: BatchStores;
    beforeAll(async () => {
      stores = await openBatchStores();
    }, 120_000);
    afterAll(() => stores[Symbol.asyncDispose]());

    const prefix = `test-${randomBytes(6).toString('hex')}`;
    async function onRedis(): Promise<Partial<Parts> & { readonly connection: RedisConnection }> {
      const connection = new RedisConnection({ url: redisUrl!, timeoutMs: 2_000 }, silent);
      await connection.ready(5_000);
      const options = { queue: 'batches', prefix, leaseMs: 2_000, jobsMax: 1_000, timeoutMs: 5_000 };
      const jobs = new BullMqJobQueue(connection, options);
      const close = async () => {
        await jobs.close();
        await connection.close();
      };
      return { jobs, connection, close };
    }

    it('go on when Redis has lost everything in the middle', async () => {
      const { connection, ...parts } = await onRedis();
      const slow = { script: () => ({ answer: ['x'], stepsBeforeFirst: 20 }) };
      await using bed = await startBatchGateway(stores, {}, [slow], parts);
      const made = await makeBatch(
        bed.client,
        names(1_000).map((name) => chatLine(name)),
      );
      await expect
        .poll(async () => (await bed.client.batches.retrieve(made.id)).request_counts?.completed, PATIENCE)
        .toBeGreaterThan(0);
      await connection.client.del(await connection.client.keys(`${prefix}:*`));
      const batch = await whenOver(bed.client, made.id);
      expect(batch.request_counts).toEqual({ total: 1_000, completed: 1_000, failed: 0 });
      const answers = await linesOf(bed.client, batch.output_file_id);
      expect(answers.map(({ custom_id }) => custom_id)).toEqual(names(1_000));
      await connection.client.del(await connection.client.keys(`${prefix}:*`));
    });
  },
);
