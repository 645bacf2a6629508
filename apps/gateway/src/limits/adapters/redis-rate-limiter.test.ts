import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe } from 'vitest';
import { rateLimiterContract } from '../rate-limiter.contract.js';
import { ShiftedClock } from '../rate-limiter.testing.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';

const url = process.env.TEST_REDIS_URL;

describe.skipIf(url === undefined)('with a real Redis (TEST_REDIS_URL)', () => {
  let redis: Redis;
  beforeAll(() => {
    redis = new Redis(url!, { commandTimeout: 5_000 });
  });
  afterAll(() => redis.quit());

  rateLimiterContract('RedisRateLimiter', async () => {
    const clock = new ShiftedClock();
    return { limiter: new RedisRateLimiter(redis, `test-${randomUUID()}`, () => clock.shiftMs), clock };
  });
});
