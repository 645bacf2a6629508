import { randomUUID } from 'node:crypto';
import { PRESENCE_NEWS, PRESENCE_SET } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { Redis } from 'ioredis';
import { describe } from 'vitest';
import { RedisConnection } from '../../stores/adapters/redis-connection.js';
import { discoveryContract } from '../worker-discovery.contract.js';
import { RedisDiscovery } from './redis-discovery.js';

const url = process.env.TEST_REDIS_URL;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

describe.skipIf(url === undefined)('workers by Redis (skipped where TEST_REDIS_URL names none)', () => {
  discoveryContract(async (addresses) => {
    const prefix = `test-${randomUUID()}`;
    const [set, news] = [`${prefix}:${PRESENCE_SET}`, `${prefix}:${PRESENCE_NEWS}`];
    const admin = new Redis(url!);
    const announce = async (all: readonly string[]) => {
      await admin.del(set);
      for (const address of all) await admin.zadd(set, Date.now() + 60_000, address);
      await admin.zadd(set, Date.now() - 60_000, 'silent.for.long:1');
      await admin.publish(news, 'x');
    };
    await announce(addresses);
    const connection = new RedisConnection({ url: url!, timeoutMs: 250, name: prefix }, logger);
    await connection.ready(2_000);
    const discovery = new RedisDiscovery(connection, { prefix, intervalMs: 50 });
    return {
      discovery,
      set: announce,
      // Redis itself serves others: what is taken away is leave to ask.
      breakDown: async () => {
        await admin.del(set);
        await admin.set(set, 'no set');
      },
      recover: async () => void (await admin.del(set)),
      end: async () => {
        await discovery.close();
        await connection.close();
        await admin.del(set);
        admin.disconnect();
      },
    };
  });
});
