import { randomUUID } from 'node:crypto';
import { PRESENCE_NEWS, PRESENCE_SET } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { Redis } from 'ioredis';
import { describe, expect, it, vi } from 'vitest';
import { Announcer } from './announcer.js';

const url = process.env.TEST_REDIS_URL;
const INTERVAL_MS = 50;

function logInto(lines: string[]) {
  return createLogger({ name: 'test', level: 'info', format: 'json' }, { write: (line) => void lines.push(line) });
}

describe.skipIf(url === undefined)(
  'a worker that announces itself (skipped where TEST_REDIS_URL names no Redis)',
  () => {
    it('counts for as long as it goes on, tells when it comes and when it goes, and forgets who fell silent', async () => {
      const prefix = `test-${randomUUID()}`;
      const set = `${prefix}:${PRESENCE_SET}`;
      const redis = new Redis(url!);
      const news = redis.duplicate();
      const told: unknown[] = [];
      news.on('message', (_channel, address) => told.push(address));
      await news.subscribe(`${prefix}:${PRESENCE_NEWS}`);
      await redis.zadd(set, String(Date.now() - 1), 'silent:1');

      const options = { url: url!, timeoutMs: 250, prefix, address: '10.0.0.7:8100', intervalMs: INTERVAL_MS };
      const announcer = new Announcer(options, logInto([]));
      await vi.waitFor(async () => expect(await redis.zrange(set, '0', '-1')).toEqual(['10.0.0.7:8100']));
      const until = await redis.zscore(set, '10.0.0.7:8100');
      await vi.waitFor(async () => {
        expect(Number(await redis.zscore(set, '10.0.0.7:8100'))).toBeGreaterThan(Number(until));
      });
      expect(told).toEqual(['10.0.0.7:8100']);
      await announcer.withdraw();
      expect(await redis.zrange(set, '0', '-1')).toEqual([]);
      await vi.waitFor(() => expect(told).toEqual(['10.0.0.7:8100', '10.0.0.7:8100']));
      redis.disconnect();
      news.disconnect();
    });
  },
);

describe('a worker whose Redis is away', () => {
  it('goes on, says so once, and is done in time when it stops', async () => {
    const options = {
      url: 'redis://127.0.0.1:1',
      timeoutMs: 100,
      prefix: 'x',
      address: 'a:1',
      intervalMs: INTERVAL_MS,
    };
    const lines: string[] = [];
    const announcer = new Announcer(options, logInto(lines));
    await new Promise((resolve) => setTimeout(resolve, 5 * INTERVAL_MS));
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain("Gateways are not told of this worker: Redis can't be reached (connect ECONNREFUSED");
    await announcer.withdraw();
  });
});
