import { randomUUID } from 'node:crypto';
import { QUEUE_BEAT_MS, QUEUE_FORGET_MS, type QueueNames } from '@millrace/contracts';
import { forgettingPolicy, type Logger } from '@millrace/runtime';
import type { Redis } from 'ioredis';
import { AnswerStreams } from './answer-streams.js';
import { ControlWriter } from './control-writer.js';
import { PoolWatch } from './pool-watch.js';

/** What the gateway's connection is to it. */
export interface LinkRedis {
  readonly client: Redis;
  /** Why no command can be answered just now; undefined: nothing is known to be wrong. */
  readonly trouble: string | undefined;
  /** A connection of its own, for what blocks. */
  duplicate(options: { readonly autoResendUnfulfilledCommands: boolean }): Redis;
}

export interface QueueLinkOptions {
  readonly gatewayId: string;
  readonly workerSilenceMsMax: number;
}

/** After Redis did not answer. */
const RETRY_DELAY_MS = 250;
/** Somebody may set it while we are connected, and mend it again. */
const POLICY_CHECK_LOOKS = 10;
/**
 * What all queues of a gateway share: the connections, the one reader of all streams, what is told workers, and who they are. Every second
 * it says in Redis that this gateway is there, and looks who else is.
 *
 * Ownership: owns the connections it has made by `duplicate`; the first is the caller's.
 */
export class QueueLink {
  /** Names this life of the gateway: what it asked for is of use to nobody after it. */
  readonly gatewayId: string;
  readonly streams: AnswerStreams;
  readonly controls: ControlWriter;
  readonly watch: PoolWatch;
  readonly #listeners = new Set<() => void>();
  #looked = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #policy: string | undefined;
  #looks = 0;

  constructor(
    private readonly redis: LinkRedis,
    readonly names: QueueNames,
    options: QueueLinkOptions,
    private readonly logger: Logger,
  ) {
    this.gatewayId = `${options.gatewayId}:${randomUUID().slice(0, 8)}`;
    const { client } = redis;
    const wakeKey = names.wake(this.gatewayId);
    this.streams = new AnswerStreams(redis.duplicate({ autoResendUnfulfilledCommands: true }), wakeKey);
    this.controls = new ControlWriter(client, names);
    this.watch = new PoolWatch(client, names, options.workerSilenceMsMax);
    client.on('ready', () => void this.#onReady());
    client.on('close', () => this.#tell());
    if (client.status === 'ready') void this.#onReady();
    else this.#schedule(RETRY_DELAY_MS);
  }

  get client(): Redis {
    return this.redis.client;
  }

  /** Whether jobs can be sent: Redis is there, and was asked who takes them. */
  get usable(): boolean {
    return this.#looked && this.redis.trouble === undefined;
  }

  /** Whether it was ever found out who takes from queues. */
  get looked(): boolean {
    return this.#looked;
  }

  /** Why work may be lost, or not be sent at all, as a sentence. */
  get trouble(): string | undefined {
    return this.redis.trouble ?? this.#policy;
  }

  /** Calls `listener`, which must not throw, at every look and whenever the connection comes or goes. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.controls.close();
    const { client, names, gatewayId } = this;
    await client.unlink(names.gateway(gatewayId), names.wake(gatewayId)).catch(() => {});
    await this.streams.end();
  }

  async #onReady(): Promise<void> {
    void this.#checkPolicy();
    await this.#look();
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#look(), ms);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    clearTimeout(this.#timer);
    let delayMs = RETRY_DELAY_MS;
    const { client, names, gatewayId } = this;
    try {
      // First that we are there: a job of a gateway that is not is dropped.
      await client.set(names.gateway(gatewayId), '1', 'PX', QUEUE_FORGET_MS);
      await this.watch.look();
      this.#looked = true;
      delayMs = QUEUE_BEAT_MS;
      if (++this.#looks % POLICY_CHECK_LOOKS === 0) void this.#checkPolicy();
    } catch {
      // The connection has said so.
    }
    if (this.#closed) return;
    this.#tell();
    this.#schedule(delayMs);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** A Redis that forgets keys when it is full forgets jobs and answers with them. */
  async #checkPolicy(): Promise<void> {
    try {
      const policy = forgettingPolicy(await this.client.info('memory'));
      const said = this.#policy;
      this.#policy =
        policy === undefined
          ? undefined
          : `The Redis of the queues forgets keys when it is full (maxmemory-policy ${policy}), and jobs with them. Give it noeviction, or queues one of their own by queueRedisUrl.`;
      if (this.#policy !== undefined && this.#policy !== said) this.logger.warn(this.#policy);
    } catch {
      // It tells this user nothing of itself.
    }
  }
}
