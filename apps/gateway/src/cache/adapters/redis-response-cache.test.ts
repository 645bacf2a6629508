import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { responseCacheContract } from '../response-cache.contract.js';
import { RedisResponseCache } from './redis-response-cache.js';

const url = process.env.TEST_REDIS_URL;
const LIMITS = { bytesMax: 100_000, ageMsMax: 60_000 };

describe.skipIf(url === undefined)('RedisResponseCache, with a real Redis (TEST_REDIS_URL)', () => {
  let redis: Redis;
  beforeAll(() => {
    redis = new Redis(url!, { commandTimeout: 10_000 });
  });
  afterAll(async () => {
    await redis.quit();
  });
  const opened = (limits = LIMITS, prefix = `test-${randomUUID()}`) => ({
    prefix,
    cache: new RedisResponseCache(redis, prefix, limits),
  });

  responseCacheContract(async (limits) => opened(limits).cache);

  it('answers one gateway with what another put, within one bound for both', async () => {
    const { cache, prefix } = opened();
    const other = opened(LIMITS, prefix).cache;
    await cache.put('k', Buffer.from('entry'));
    expect(Buffer.from((await other.get('k'))!).toString()).toBe('entry');
    for (let round = 0; round < 50; round++) await (round % 2 ? cache : other).put(`k${round}`, new Uint8Array(5_000));
    expect(Math.max(cache.bytes, other.bytes)).toBeLessThanOrEqual(LIMITS.bytesMax);
    const kept = await redis.keys(`{${prefix}:cache}:entry:*`);
    expect(kept.length * 5_000).toBeLessThanOrEqual(LIMITS.bytesMax);
    expect(kept.length).toBeGreaterThan(10);
  });

  it('leaves nothing behind: entries and lists all expire', async () => {
    const { cache, prefix } = opened({ ...LIMITS, ageMsMax: 100 });
    await cache.put('k', new Uint8Array(10));
    expect(await redis.keys(`*${prefix}*`)).toHaveLength(4);
    await expect.poll(() => redis.keys(`*${prefix}*`), { timeout: 5_000 }).toEqual([]);
  });

  it('gives back the room of entries that Redis forgot by itself', async () => {
    const { cache } = opened({ ...LIMITS, ageMsMax: 100 });
    for (let round = 0; round < 9; round++) await cache.put(`k${round}`, new Uint8Array(10_000));
    await new Promise((resolve) => setTimeout(resolve, 150));
    await cache.put('last', new Uint8Array(100));
    expect(cache.bytes).toBeLessThan(1_000);
  });

  it('comes right again when Redis has lost a list, and stays within its bound', async () => {
    for (const list of ['used', 'expires', 'sizes']) {
      const { cache, prefix } = opened();
      for (let round = 0; round < 15; round++) await cache.put(`k${round}`, new Uint8Array(5_000));
      await redis.del(`{${prefix}:cache}:${list}`);
      for (let round = 0; round < 60; round++) {
        await cache.put(`again${round}`, new Uint8Array(5_000));
        expect(cache.bytes).toBeLessThanOrEqual(LIMITS.bytesMax);
      }
      expect(await cache.get('again59'), list).toBeDefined();
      // What lies there beyond the bound is what was kept before, and expires.
      const kept = await redis.keys(`{${prefix}:cache}:entry:again*`);
      expect(kept.length * 5_000, list).toBeLessThanOrEqual(LIMITS.bytesMax);
    }
  });

  it('takes no more of Redis’ own memory than it says', async () => {
    const { cache } = opened({ bytesMax: 4_000_000, ageMsMax: 60_000 });
    const used = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    const before = await used();
    for (let round = 0; round < 40; round++) {
      const keys = Array.from({ length: 200 }, (_, at) => `${round}-${at}`.padStart(43, 'k'));
      await Promise.all(keys.map((key) => cache.put(key, new Uint8Array(200))));
    }
    expect(cache.bytes).toBeGreaterThan(3_500_000);
    expect((await used()) - before).toBeLessThan(4_000_000);
  });

  it('gives what it has while Redis is full', async () => {
    const { cache } = opened();
    await cache.put('k', Buffer.from('entry'));
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await redis.config('SET', 'maxmemory', '1');
    try {
      await expect(cache.put('other', Buffer.from('entry'))).rejects.toThrow(/OOM/);
      expect(await cache.get('k')).toBeDefined();
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    await cache.put('other', Buffer.from('entry'));
  });

  it('goes on when Redis has forgotten its scripts, or everything', async () => {
    const { cache, prefix } = opened();
    await cache.put('k', Buffer.from('entry'));
    await redis.script('FLUSH');
    expect(await cache.get('k')).toBeDefined();
    await redis.del(...(await redis.keys(`*${prefix}*`)));
    expect(await cache.get('k')).toBeUndefined();
    await cache.put('k', Buffer.from('entry'));
    expect(await cache.get('k')).toBeDefined();
  });
});
