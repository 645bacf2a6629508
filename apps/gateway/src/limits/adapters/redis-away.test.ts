import { InferenceError } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedisConnection } from '../../stores/adapters/redis-connection.js';
import { REDIS_SERVER_INSTALLED, RedisServer } from '../../stores/adapters/redis-server.testing.js';
import { ANYONE, type KeyLimits } from '../../vocabulary.js';
import type { RateHold } from '../caller-rates.js';
import { CountedRates } from '../counted-rates.js';
import { FallbackLimiter } from '../fallback-limiter.js';
import { MemoryRateLimiter } from './memory-rate-limiter.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';

const TIMEOUT_MS = 300;
const RETRY_MS = 100;
const RPM = 20;
const STAYS = new AbortController().signal;
const QUIET = createLogger({ name: 'gateway', level: 'silent', format: 'json' });

/** The limits of one gateway as they are put together in the product. */
class Gateway {
  readonly #connection: RedisConnection;
  readonly rates: CountedRates;

  constructor(url: string, usedTokens = async () => ({ today: 0, thisMonth: 0 })) {
    this.#connection = new RedisConnection({ url, timeoutMs: TIMEOUT_MS }, QUIET);
    const shared = new RedisRateLimiter(this.#connection.client, 'away');
    const limiter = new FallbackLimiter(shared, new MemoryRateLimiter(), { retryMs: RETRY_MS }, QUIET);
    this.rates = new CountedRates(limiter, { modelLimits: () => undefined, usedTokens, answerTokensEstimate: 10 });
  }

  ready = () => this.#connection.ready(10_000);

  /** Undefined: refused, as a caller should be. Whatever else is thrown is an error that a caller would see. */
  async take(key: string, limits: KeyLimits = { requestsPerMinute: RPM }): Promise<RateHold | undefined> {
    const caller = { ...ANYONE, keyId: key, keyName: key, limits };
    const use = { model: 'm', promptTokens: 1, answers: 1, answerTokensMax: 9 };
    try {
      return await this.rates.take({ caller, tell: () => {} }, use, STAYS);
    } catch (error) {
      if (error instanceof InferenceError && ['rate_limit_exceeded', 'insufficient_quota'].includes(error.code)) return;
      throw error;
    }
  }

  async taken(times: number, key: string): Promise<number> {
    const holds = await Promise.all(Array.from({ length: times }, () => this.take(key)));
    return holds.filter((hold) => hold !== undefined).length;
  }

  async close(): Promise<void> {
    await this.rates.close();
    await this.#connection.close();
  }
}

describe.skipIf(!REDIS_SERVER_INSTALLED)('limits while a Redis is away (redis-server on the path)', () => {
  let server: RedisServer;
  let gateways: Gateway[];

  beforeEach(async () => {
    server = await RedisServer.start();
    gateways = [new Gateway(server.url), new Gateway(server.url)];
    await Promise.all(gateways.map((gateway) => gateway.ready()));
  });
  afterEach(async () => {
    server.thaw();
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await server[Symbol.asyncDispose]();
  });

  const takenByBoth = async (key: string) => {
    const counts = await Promise.all(gateways.map((gateway) => gateway.taken(2 * RPM, key)));
    return counts.reduce((sum, count) => sum + count);
  };
  const troubles = () => gateways.map(({ rates }) => rates.trouble);
  const allBack = () => expect.poll(troubles, { timeout: 10_000 }).toEqual([undefined, undefined]);
  const exactAgain = async () => {
    await allBack();
    // Who asked nothing meanwhile has no trouble to tell of, and may still have no connection.
    await Promise.all(gateways.map((gateway) => gateway.ready()));
    expect(await takenByBoth(`after-${server.port}`)).toBe(RPM);
  };

  it('count as one while it is there', async () => {
    expect(await takenByBoth('a')).toBe(RPM);
    expect(await takenByBoth('b')).toBe(RPM);
  });

  it('are each gateway’s own when it was never there, and common when it comes', async () => {
    await server.stop();
    gateways.push(new Gateway(server.url));
    const late = gateways.pop()!;
    expect(await late.taken(2 * RPM, 'a')).toBe(RPM);
    expect(late.rates.trouble).toMatch(/^Limits are counted by this gateway alone/);
    await server.start();
    await expect.poll(() => late.rates.trouble, { timeout: 10_000 }).toBeUndefined();
    await exactAgain();
    await late.close();
  });

  it('fail nobody when it dies under load', async () => {
    let stop = false;
    let asked = 0;
    const load = Array.from({ length: 32 }, async (_, client) => {
      while (!stop) {
        const hold = await gateways[client % 2]!.take(`load-${client}`, {
          requestsPerMinute: 1e6,
          tokensPerMinute: 1e9,
        });
        expect(hold).toBeDefined();
        asked++;
        hold!.settle(5);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    await expect.poll(() => asked).toBeGreaterThan(200);
    await server.stop();
    await expect.poll(() => troubles().includes(undefined)).toBe(false);
    const before = asked;
    await expect.poll(() => asked).toBeGreaterThan(before + 200);
    await server.start();
    await allBack();
    stop = true;
    await Promise.all(load);
    await exactAgain();
  });

  it('wait for one that hangs once, and then not at all', async () => {
    await gateways[0]!.taken(5, 'a');
    server.freeze();
    expect(await gateways[0]!.taken(2 * RPM, 'a')).toBe(RPM - 5);
    expect(gateways[0]!.rates.trouble).toMatch(`no answer within ${TIMEOUT_MS} ms`);
    const sinceMs = performance.now();
    for (let time = 0; time < 50; time++) await gateways[0]!.taken(1, 'b');
    // Fifty waits would be 15 s.
    expect(performance.now() - sinceMs).toBeLessThan(2_000);
    await gateways[1]!.taken(1, 'c');
    server.thaw();
    await exactAgain();
  });

  it('bear one that is slow', async () => {
    const connection = new RedisConnection({ url: server.url, timeoutMs: 1_000 }, QUIET);
    await connection.ready(2_000);
    await connection.client.client('PAUSE', 600);
    await connection.close();
    const sinceMs = performance.now();
    expect(await gateways[0]!.taken(2 * RPM, 'a')).toBe(RPM);
    expect(performance.now() - sinceMs).toBeLessThan(3_000);
    await exactAgain();
  });

  it('bear one that takes no writes', async () => {
    const connection = new RedisConnection({ url: server.url, timeoutMs: 1_000 }, QUIET);
    await connection.ready(2_000);
    await connection.client.config('SET', 'maxmemory', '1');
    expect(await gateways[0]!.taken(2 * RPM, 'a')).toBe(RPM);
    await expect.poll(() => gateways[0]!.rates.trouble).toMatch('OOM');
    await connection.client.config('SET', 'maxmemory', '0');
    await connection.client.config('SET', 'min-replicas-to-write', '1');
    expect(await gateways[1]!.taken(2 * RPM, 'b')).toBe(RPM);
    await connection.client.config('SET', 'min-replicas-to-write', '0');
    await allBack();
    await connection.client.replicaof('127.0.0.1', 1);
    expect(await gateways[1]!.taken(2 * RPM, 'c')).toBe(RPM);
    expect(gateways[1]!.rates.trouble).toMatch('read only replica');
    await connection.client.replicaof('NO', 'ONE');
    await connection.close();
    await exactAgain();
  });

  it('keep a spent budget spent when it is started again empty', async () => {
    const spent = new Gateway(server.url, async () => ({ today: 1_000, thisMonth: 1_000 }));
    await spent.ready();
    const limits = { tokensPerDay: 1_000 };
    expect(await spent.take('poor', limits)).toBeUndefined();
    await server.stop();
    expect(await spent.take('poor', limits)).toBeUndefined();
    await server.start();
    await expect.poll(() => spent.rates.trouble, { timeout: 10_000 }).toBeUndefined();
    expect(await spent.take('poor', limits)).toBeUndefined();
    await spent.close();
    await allBack();
  });

  it('free the places of a gateway’s requests, also where Redis was away when they ended', async () => {
    const limits = { concurrentRequests: 1 };
    const running = await gateways[0]!.take('narrow', limits);
    expect(await gateways[1]!.take('narrow', limits)).toBeUndefined();
    server.freeze();
    // Whoever fails first learns of it.
    await gateways[0]!.take('other', limits);
    running!.settle(3);
    server.thaw();
    await allBack();
    await expect.poll(async () => (await gateways[1]!.take('narrow', limits)) !== undefined).toBe(true);
  });
});
