import type { ConnectionOptions } from 'node:tls';
import { PRESENCE_INTERVALS, PRESENCE_NEWS, PRESENCE_SET } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { Redis } from 'ioredis';

export interface AnnouncerOptions {
  readonly url: string;
  readonly tls?: ConnectionOptions | undefined;
  readonly timeoutMs: number;
  /** As of the gateways: `redisKeyPrefix`. */
  readonly prefix: string;
  /** How gateways reach this worker: `host:port`. */
  readonly address: string;
  readonly intervalMs: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_DELAY_MS_MAX = 2_000;

/** One decision on Redis' own clock, so that machines whose clocks differ agree. Whoever is silent for long is forgotten on the way. */
const ANNOUNCE = `
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
local is_new = redis.call('ZADD', KEYS[1], now_ms + tonumber(ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT')
if is_new == 1 then redis.call('PUBLISH', ARGV[3], ARGV[1]) end
return is_new`;

/**
 * Tells gateways by Redis that this worker is there, for as long as it is. While Redis is away nothing is told, and gateways keep the
 * workers that they know.
 *
 * Ownership: owns its connection.
 */
export class Announcer {
  readonly #redis: Redis;
  #timer: NodeJS.Timeout | undefined;
  #trouble = false;
  /** Of the connection: what a command says that finds none does not tell why. */
  #lastError = '';
  #closed = false;

  constructor(
    private readonly options: AnnouncerOptions,
    private readonly logger: Logger,
  ) {
    const { url, tls, timeoutMs } = options;
    this.#redis = new Redis(url, {
      ...(tls !== undefined && { tls }),
      connectionName: 'millrace-worker',
      commandTimeout: timeoutMs,
      connectTimeout: CONNECT_TIMEOUT_MS,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(times * 100, RECONNECT_DELAY_MS_MAX),
    });
    // Said once by `#announce`; without a listener the process would end.
    this.#redis.on('error', ({ message }: Error) => {
      this.#lastError = message;
    });
    this.#redis.on('ready', () => void this.#announce());
    // Where Redis is away from the start, this says so.
    this.#timer = setTimeout(() => void this.#announce(), options.intervalMs);
    this.#timer.unref();
  }

  /** From now on no gateway finds it, or a little later where Redis is away. Those that know it have been told otherwise. */
  async withdraw(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const { prefix, address } = this.options;
    try {
      await this.#redis.zrem(`${prefix}:${PRESENCE_SET}`, address);
      await this.#redis.publish(`${prefix}:${PRESENCE_NEWS}`, address);
    } catch {
      // It is forgotten once its time is over.
    }
    this.#redis.disconnect();
  }

  async #announce(): Promise<void> {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#announce(), this.options.intervalMs);
    this.#timer.unref();
    const { prefix, address, intervalMs } = this.options;
    try {
      const lifetimeMs = intervalMs * PRESENCE_INTERVALS;
      const news = `${prefix}:${PRESENCE_NEWS}`;
      await this.#redis.eval(ANNOUNCE, 1, `${prefix}:${PRESENCE_SET}`, address, lifetimeMs, news);
      if (this.#trouble) this.logger.info('Redis is back: gateways find this worker again.');
      this.#trouble = false;
    } catch (error) {
      if (this.#trouble || this.#closed) return;
      this.#trouble = true;
      const why = (this.#redis.status !== 'ready' && this.#lastError) || (error as Error).message;
      this.logger.warn(`Gateways are not told of this worker: Redis can't be reached (${why}).`);
    }
  }
}
