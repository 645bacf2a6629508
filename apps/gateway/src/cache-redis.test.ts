import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedisResponseCache } from './cache/adapters/redis-response-cache.js';
import { TestBed } from './gateway.testing.js';
import { RedisConnection } from './stores/adapters/redis-connection.js';
import { REDIS_SERVER_INSTALLED, RedisServer } from './stores/adapters/redis-server.testing.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const told = (response: Response) => response.headers.get('x-millrace-cache');
const question = (content: string) => ({ temperature: 0, messages: [{ role: 'user', content }] });

describe.skipIf(!REDIS_SERVER_INSTALLED)('answers kept in a Redis of its own (redis-server is needed)', () => {
  let server: RedisServer;
  let redis: RedisConnection;
  beforeEach(async () => {
    server = await RedisServer.start();
    redis = new RedisConnection({ url: server.url, timeoutMs: 100 }, logger);
    await redis.ready(5_000);
  });
  afterEach(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });
  const bed = (bytesMax = 1_000_000) => {
    const responseCache = new RedisResponseCache(redis.client, 'test', { bytesMax, ageMsMax: 60_000 });
    return TestBed.start({}, [{}], true, '127.0.0.1', { responseCache });
  };

  it('are found by another gateway', async () => {
    await using one = await bed();
    await using other = await bed();
    expect(told(await one.chat(question('a')))).toBe('miss');
    await expect.poll(async () => told(await other.chat(question('a')))).toBe('hit');
  });

  it('are missed and not waited for while it is away, killed in the middle of a load, and found when it is back', async () => {
    await using one = await bed();
    const load = async (round: string) => {
      const responses = await Promise.all(Array.from({ length: 40 }, (_, at) => one.chat(question(`${round} ${at}`))));
      const bodies = await Promise.all(responses.map((response) => response.text()));
      expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
      expect(bodies.every((body, at) => body.includes(`${round} ${at}`))).toBe(true);
      return responses.map(told);
    };
    await load('first');
    await expect.poll(async () => (await load('first')).every((one) => one === 'hit')).toBe(true);
    const loads = [load('first'), load('second')];
    await server.stop();
    await Promise.all(loads);
    expect(await load('first')).toEqual(Array.from({ length: 40 }, () => 'miss'));
    await server.start();
    await expect.poll(async () => (await load('third')).every((one) => one === 'hit'), { timeout: 15_000 }).toBe(true);
  }, 30_000);

  it('are waited for once while it hangs, and then not for a while', async () => {
    await using one = await bed();
    await one.chat(question('a'));
    // Until then it is found with its run.
    await expect.poll(() => redis.client.keys('{test:cache}:entry:*')).toHaveLength(1);
    server.freeze();
    expect(told(await one.chat(question('a')))).toBe('miss');
    const startMs = performance.now();
    for (let at = 0; at < 5; at++) expect((await one.chat(question('b'))).status).toBe(200);
    // Far less than five time-outs, however busy the machine is: none of them waited.
    const failures = /millrace_cache_store_failures_total\{operation="get"[^}]*\} (\d+)/;
    const page = await (await fetch(`${one.url}/metrics`)).text();
    expect(Number(failures.exec(page)?.[1])).toBeGreaterThanOrEqual(1);
    expect(performance.now() - startMs).toBeLessThan(5_000);
    server.thaw();
    await expect.poll(async () => told(await one.chat(question('a'))), { timeout: 15_000 }).toBe('hit');
  }, 30_000);

  it('take no more than they may, though all of them are large', async () => {
    await using one = await bed(100_000);
    for (let at = 0; at < 30; at++) {
      expect((await one.chat(question(`${at} ${'x'.repeat(20_000)}`))).status).toBe(200);
    }
    const kept = await redis.client.keys('{test:cache}:entry:*');
    expect(kept.length).toBeLessThanOrEqual(4);
    expect(kept.length).toBeGreaterThan(0);
    expect(Number(await redis.client.hget('{test:cache}:sizes', 'total'))).toBeLessThanOrEqual(100_000);
  });

  it('are there under digests, and without the question', async () => {
    await using one = await bed();
    const asked = { ...question('a secret question'), max_tokens: 1 };
    await one.chat(asked);
    await expect.poll(async () => told(await one.chat(asked))).toBe('hit');
    const keys = await redis.client.keys('*');
    const entries = await Promise.all(keys.filter((key) => key.includes('entry')).map((key) => redis.client.get(key)));
    const fields = await redis.client.hkeys('{test:cache}:sizes');
    expect([...keys, ...entries, ...fields].join()).not.toMatch(/secret|question|user/);
  });
});
