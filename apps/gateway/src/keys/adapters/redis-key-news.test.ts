import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { keyNewsContract } from '../key-news.contract.js';
import { RedisKeyNews } from './redis-key-news.js';

const url = process.env.TEST_REDIS_URL; // set by `make test-services`

const connections: Redis[] = [];
afterEach(() => {
  for (const redis of connections.splice(0)) redis.disconnect();
});

function connect(to: string): Redis {
  const redis = new Redis(to, {
    // By which the connection that listens can be told from those of others.
    connectionName: randomUUID(),
    maxRetriesPerRequest: 0,
    retryStrategy: () => 50,
  });
  redis.on('error', () => {});
  connections.push(redis);
  return redis;
}

/** News of one gateway, as soon as it can hear the others. */
async function listening(channel: string): Promise<{ news: RedisKeyNews; redis: Redis; heard: () => number }> {
  const redis = connect(url!);
  const news = new RedisKeyNews(redis, channel);
  let heard = 0;
  news.listen(() => heard++);
  // A new connection counts as news: that is how it is seen here.
  await expect.poll(() => heard).toBe(1);
  return { news, redis, heard: () => heard - 1 };
}

/** Breaks the connection on which the news is heard, and no other. */
async function killSubscriber(redis: Redis): Promise<void> {
  const clients = String(await redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).split('\n');
  const own = clients.find((line) => line.includes(`name=${redis.options.connectionName} `));
  await redis.call('CLIENT', 'KILL', 'ID', /\bid=(\d+)/.exec(own!)![1]!);
}

describe.skipIf(url === undefined)('with a real Redis (TEST_REDIS_URL)', () => {
  keyNewsContract('RedisKeyNews', async () => {
    const { news } = await listening(`test:${randomUUID()}`);
    return news;
  });

  it('is heard by other gateways, once by each, and not by those of another installation', async () => {
    const channel = `test:${randomUUID()}`;
    const [one, two, three] = [await listening(channel), await listening(channel), await listening(`${channel}:not`)];
    await one.news.tell();
    await expect.poll(two.heard).toBe(1);
    await one.news.tell();
    await expect.poll(two.heard).toBe(2);
    expect([one.heard(), three.heard()]).toEqual([2, 0]);
    await Promise.all([one, two, three].map(({ news }) => news.close()));
  });

  it('takes a connection that came back for news, since some may have been missed', async () => {
    const { news, redis, heard } = await listening(`test:${randomUUID()}`);
    await killSubscriber(redis);
    await expect.poll(heard).toBe(1);
    await news.close();
  });
});

describe('RedisKeyNews without a Redis', () => {
  it('is heard by the gateway that tells, and takes no long time about the others', async () => {
    const news = new RedisKeyNews(connect('redis://127.0.0.1:1'), 'test');
    let heard = 0;
    news.listen(() => heard++);
    await news.tell();
    expect(heard).toBe(1);
    await news.close();
  });
});
