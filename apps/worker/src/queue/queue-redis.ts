import type { ConnectionOptions } from 'node:tls';
import { Redis, type RedisOptions } from 'ioredis';

type Options = Omit<RedisOptions, 'replyMapping'>;

export interface QueueRedisOptions {
  readonly url: string;
  readonly tls?: ConnectionOptions | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_DELAY_MS_MAX = 2_000;
/** How long a command may take that does not wait for anything. */
const COMMAND_TIMEOUT_MS = 5_000;
/** Of what may wait for a job in between: longer than that, or a dead connection would be waited on for ever. */
const SILENCE_MS_MAX = 20_000;

/**
 * The worker's connections to the Redis of the queues. Each connects again by itself, for ever; what is asked of one that is away fails at
 * once, since whoever asked has a better idea of when to ask again.
 *
 * Ownership: owns them; `close` ends all.
 */
export class QueueRedis {
  /** For what is answered at once. */
  readonly commands: Redis;
  /** BullMQ's, which makes another of it for what blocks. */
  readonly bull: Redis;
  /** Hears what is published, and nothing else. */
  readonly subscriber: Redis;
  /** Why the last connection broke; what a command says that finds none does not tell. */
  lastError = '';

  constructor({ url, tls }: QueueRedisOptions) {
    const common: Options = {
      ...(tls !== undefined && { tls }),
      connectionName: 'millrace-worker',
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: (times) => Math.min(times * 100, RECONNECT_DELAY_MS_MAX),
    };
    const impatient = { enableOfflineQueue: false, maxRetriesPerRequest: 0 };
    const once = { autoResendUnfulfilledCommands: false };
    this.commands = new Redis(url, { ...common, ...impatient, ...once, commandTimeout: COMMAND_TIMEOUT_MS });
    // What waits for a job is sent again when the connection is back; else it would never be answered.
    this.bull = new Redis(url, { ...common, ...impatient, socketTimeout: SILENCE_MS_MAX });
    this.subscriber = new Redis(url, { ...common, maxRetriesPerRequest: null });
    for (const redis of [this.commands, this.bull, this.subscriber]) {
      redis.on('error', ({ message }: Error) => {
        this.lastError = message;
      });
    }
  }

  close(): void {
    for (const redis of [this.commands, this.bull, this.subscriber]) redis.disconnect();
  }
}
