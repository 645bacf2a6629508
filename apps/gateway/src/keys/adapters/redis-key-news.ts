import { randomUUID } from 'node:crypto';
import type { Redis, RedisOptions } from 'ioredis';
import type { KeyNews } from '../key-news.js';

/** Whoever changed a key waits for Redis no longer; the others then find out at their next look. */
const TELL_TIMEOUT_MS = 1_000;
const RECONNECT_DELAY_MS_MAX = 2_000;

/**
 * News by Redis's publish and subscribe, which keeps nothing: what is told while a gateway is cut off never reaches it. So it
 * takes every new connection for news.
 *
 * Ownership: the connection that it is given stays the giver's; the one that it listens on is its own.
 */
export class RedisKeyNews implements KeyNews {
  readonly #listeners = new Set<() => void>();
  readonly #subscriber: Redis;
  /** By this a gateway knows its own news, which it has heard already. */
  readonly #sender = randomUUID();

  /** @param channel the same for all gateways of an installation, and for no other. */
  constructor(
    private readonly redis: Redis,
    private readonly channel: string,
  ) {
    this.#subscriber = redis.duplicate<Partial<RedisOptions>>({
      lazyConnect: false,
      // Nothing waits in it: the subscription is made again with every connection.
      enableOfflineQueue: false,
      autoResubscribe: false,
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(times * 100, RECONNECT_DELAY_MS_MAX),
    });
    // Whether Redis is there is told by who counts in it; a key is refused without it too, only later.
    this.#subscriber.on('error', () => {});
    this.#subscriber.on('ready', () => void this.#subscribe());
    this.#subscriber.on('message', (_channel, sender) => {
      if (sender !== this.#sender) this.#hear();
    });
  }

  async tell(): Promise<void> {
    this.#hear();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, TELL_TIMEOUT_MS);
    const told = this.redis.publish(this.channel, this.#sender).catch(() => {});
    await Promise.race([told, late.promise]);
    clearTimeout(timer);
  }

  listen(listener: () => void): () => void {
    const heard = () => listener();
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#subscriber.disconnect();
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#subscriber.subscribe(this.channel);
      this.#hear();
    } catch {
      // The connection broke again, and the next one subscribes. One that stays but refuses is a matter of Redis's permissions.
    }
  }

  #hear(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
