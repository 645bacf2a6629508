import { PRESENCE_NEWS, PRESENCE_SET } from '@millrace/contracts';
import type { Redis } from 'ioredis';
import { KnownAddresses } from '../known-addresses.js';
import type { WorkerDiscovery } from '../worker-discovery.js';

export interface RedisDiscoveryOptions {
  /** As of the workers: `redisKeyPrefix`. */
  readonly prefix: string;
  readonly intervalMs: number;
}

/** More than are ever used: whoever writes there could write without end. */
const ADDRESSES_MAX = 10_000;

/** What the gateway's connection is to it. */
export interface PresenceRedis {
  readonly client: Pick<Redis, 'zrangebyscore' | 'time'>;
  /** A connection of its own, for the news. */
  duplicate(): Redis;
}

/**
 * Workers that announce themselves in Redis: a sorted set of addresses, each with the time, on Redis' clock, until which it counts. News of
 * one that comes or goes are told by publish; whatever is missed is found at the next look.
 *
 * Ownership: owns the connection that it listens on.
 */
export class RedisDiscovery implements WorkerDiscovery {
  readonly #known = new KnownAddresses('Redis');
  readonly #subscriber: Redis;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #again = false;
  #closed = false;

  constructor(
    private readonly redis: PresenceRedis,
    private readonly options: RedisDiscoveryOptions,
  ) {
    this.#subscriber = redis.duplicate();
  }

  get trouble(): string | undefined {
    return this.#known.trouble;
  }

  start(listener: (addresses: readonly string[]) => void): void {
    this.#known.listen(listener);
    this.#subscriber.on('message', () => void this.#look());
    this.#subscriber.subscribe(`${this.options.prefix}:${PRESENCE_NEWS}`).catch(() => {});
    void this.#look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#subscriber.disconnect();
  }

  /** One look at a time; news that come meanwhile lead to another. */
  async #look(): Promise<void> {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    clearTimeout(this.#timer);
    try {
      const [seconds] = await this.redis.client.time();
      const set = `${this.options.prefix}:${PRESENCE_SET}`;
      const from = Number(seconds) * 1000;
      const addresses = await this.redis.client.zrangebyscore(set, from, '+inf', 'LIMIT', 0, ADDRESSES_MAX);
      if (!this.#closed) this.#known.learn(addresses.map(String));
    } catch (error) {
      if (!this.#closed) this.#known.fail((error as Error).message);
    }
    this.#looking = false;
    if (this.#closed) return;
    const soon = this.#again;
    this.#again = false;
    this.#timer = setTimeout(() => void this.#look(), soon ? 0 : this.options.intervalMs);
    this.#timer.unref();
  }
}
