import { randomBytes } from 'node:crypto';
import { createLogger } from '@millrace/runtime';
import { afterAll, describe, expect, it } from 'vitest';
import { CONTRACT_JOBS_MAX, CONTRACT_LEASE_MS, jobQueueContract } from '../job-queue.contract.js';
import { JobQueueUnavailable } from '../job-queue.js';
import { BullMqJobQueue } from './bullmq-job-queue.js';
import { RedisConnection } from './redis-connection.js';
import { REDIS_SERVER_INSTALLED, RedisServer } from './redis-server.testing.js';

const url = process.env.TEST_REDIS_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const OPTIONS = { leaseMs: CONTRACT_LEASE_MS, jobsMax: CONTRACT_JOBS_MAX, timeoutMs: 2_000 };

describe.skipIf(url === undefined)('a queue in Redis (TEST_REDIS_URL is not set: `make test-services`)', () => {
  const connections: RedisConnection[] = [];
  const prefix = `test-${randomBytes(6).toString('hex')}`;
  let queues = 0;
  afterAll(async () => {
    const [{ client }] = connections as [RedisConnection];
    const keys = await client.keys(`${prefix}:*`);
    if (keys.length > 0) await client.del(keys);
    for (const connection of connections) await connection.close();
  });

  const connect = async () => {
    const connection = new RedisConnection({ url: url!, timeoutMs: 5_000 }, logger);
    connections.push(connection);
    await connection.ready(5_000);
    return connection;
  };

  jobQueueContract(async () => {
    const queue = `q${queues++}`;
    const two = [await connect(), await connect()];
    return () => new BullMqJobQueue(two.pop()!, { queue, prefix, ...OPTIONS });
  });
});

describe.skipIf(!REDIS_SERVER_INSTALLED)('a queue whose Redis goes away (redis-server is not installed)', () => {
  it('says so at once, goes on waiting, and works with what Redis has when it is back', async () => {
    await using stack = new AsyncDisposableStack();
    const redis = stack.use(await RedisServer.start('--appendonly', 'yes', '--appendfsync', 'always'));
    const connection = new RedisConnection({ url: redis.url, timeoutMs: 2_000 }, logger);
    stack.defer(() => connection.close());
    await connection.ready(5_000);
    const queue = stack.adopt(new BullMqJobQueue(connection, { queue: 'q', prefix: 'p', ...OPTIONS }), (one) =>
      one.close(),
    );
    await queue.add({ id: 'kept', payload: '', priority: 0 });
    await redis.stop();
    await expect.poll(() => queue.trouble).toContain("can't be reached");
    await expect(queue.add({ id: 'x', payload: '', priority: 0 })).rejects.toBeInstanceOf(JobQueueUnavailable);
    const waiting = queue.take(new AbortController().signal);
    await redis.start();
    expect(await waiting).toMatchObject({ id: 'kept' });
    expect(queue.trouble).toBeUndefined();
  }, 60_000);

  it('can be made, asked and closed while Redis was never there', async () => {
    const connection = new RedisConnection({ url: 'redis://127.0.0.1:1', timeoutMs: 200 }, logger);
    const queue = new BullMqJobQueue(connection, { queue: 'q', prefix: 'p', ...OPTIONS });
    await expect(queue.counts()).rejects.toBeInstanceOf(JobQueueUnavailable);
    const waiting = queue.take(new AbortController().signal);
    await queue.close();
    expect(await waiting).toBeUndefined();
    await connection.close();
  }, 30_000);
});
