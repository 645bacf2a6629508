import { randomUUID } from 'node:crypto';
import { type Engine, PROTOCOL_VERSION, queueNames, VERSION } from '@millrace/contracts';
import type { WorkerDescription } from '@millrace/contracts/protocol';
import { createLogger } from '@millrace/runtime';
import { QueueLink } from '../../apps/gateway/src/dispatch/adapters/queue/queue-link.ts';
import {
  QueueWorkerClient,
  type QueueWorkerClientLimits,
} from '../../apps/gateway/src/dispatch/adapters/queue/queue-worker-client.ts';
import { RedisConnection } from '../../apps/gateway/src/stores/adapters/redis-connection.ts';
import {
  QueueConsumer,
  type QueueConsumerOptions,
  type TakenOutcome,
} from '../../apps/worker/src/queue/queue-consumer.ts';
import { QueueRedis } from '../../apps/worker/src/queue/queue-redis.ts';
import { PlayEngine } from './play-engine.testing.ts';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const POOL = 'pool';

const LIMITS: QueueWorkerClientLimits = {
  queueJobsMax: 100,
  creditTokens: 64,
  sentBytesMax: 1_000_000,
  requestTimeoutMs: 60_000,
  backgroundTimeoutMs: 60_000,
};

export interface QueueBedOptions {
  readonly workers?: number;
  readonly limits?: Partial<QueueWorkerClientLimits>;
  readonly worker?: Partial<QueueConsumerOptions>;
  readonly workerSilenceMsMax?: number;
}

/** A worker's consumer around an engine that does as it is told. */
export interface BedWorker {
  readonly engine: PlayEngine;
  readonly consumer: QueueConsumer;
  /** Of the jobs it took. */
  readonly outcomes: TakenOutcome[];
  /** As by `kill -9`: from now on nothing is heard of it, though its connections are closed by the system. */
  die(): void;
}

/** Another gateway on the same queue. */
export interface BedGateway {
  readonly client: QueueWorkerClient;
  /** As by `kill -9`, and long enough ago that Redis has forgotten it: what it put into the queue stays there. */
  die(): Promise<void>;
}

/** Both ends of a queue, with a real Redis between them. */
export class QueueBed {
  readonly names = queueNames(`test-${randomUUID()}`);
  readonly workers: BedWorker[] = [];
  readonly link: QueueLink;
  readonly client: QueueWorkerClient;
  readonly #connection: RedisConnection;
  readonly #others: { readonly client: QueueWorkerClient; readonly connection: RedisConnection }[] = [];

  private constructor(
    readonly url: string,
    private readonly options: QueueBedOptions,
  ) {
    this.#connection = new RedisConnection({ url, timeoutMs: 5_000 }, logger);
    const { workerSilenceMsMax = 10_000 } = options;
    this.link = new QueueLink(this.#connection, this.names, { gatewayId: 'gateway@test', workerSilenceMsMax }, logger);
    this.client = new QueueWorkerClient(POOL, this.link, { ...LIMITS, ...options.limits }, logger);
  }

  /** @returns once the client is ready, if there is any worker. */
  static async open(url: string, options: QueueBedOptions = {}): Promise<QueueBed> {
    const bed = new QueueBed(url, options);
    const { workers = 1 } = options;
    for (let at = 0; at < workers; at++) bed.addWorker();
    if (workers > 0) await bed.ready();
    return bed;
  }

  addWorker(more: Partial<QueueConsumerOptions> = {}): BedWorker {
    const engine = new PlayEngine();
    const redis = new QueueRedis({ url: this.url });
    const outcomes: TakenOutcome[] = [];
    const options: QueueConsumerOptions = {
      pool: POOL,
      workerId: `worker-${this.workers.length}-${randomUUID()}`,
      maxBatchSize: 8,
      queueLockMs: 30_000,
      stallTimeoutMs: 60_000,
      requestTimeoutMs: 60_000,
      backgroundTimeoutMs: 60_000,
      ...this.options.worker,
      ...more,
    };
    const state = { draining: false };
    const consumer = new QueueConsumer(
      redis,
      this.names,
      options,
      hostOf(engine, options, state),
      logger,
      (outcome) => void outcomes.push(outcome),
    );
    const drain = consumer.drain.bind(consumer);
    consumer.drain = (timeoutMs) => {
      state.draining = true;
      return drain(timeoutMs);
    };
    consumer.start();
    const worker = { engine, consumer, outcomes, die: () => redis.close() };
    this.workers.push(worker);
    return worker;
  }

  /** @returns once it is ready. */
  async addGateway(limits: Partial<QueueWorkerClientLimits> = {}): Promise<BedGateway> {
    const connection = new RedisConnection({ url: this.url, timeoutMs: 5_000 }, logger);
    const link = new QueueLink(connection, this.names, { gatewayId: 'other@test', workerSilenceMsMax: 10_000 }, logger);
    const client = new QueueWorkerClient(POOL, link, { ...LIMITS, ...this.options.limits, ...limits }, logger);
    this.#others.push({ client, connection });
    await whenReady(client);
    return { client, die: () => link.close() };
  }

  /** For a look at what lies there. */
  get redis() {
    return this.#connection.client;
  }

  get worker(): BedWorker {
    return this.workers[0]!;
  }

  ready(): Promise<void> {
    return whenReady(this.client);
  }

  /** Answers and calls that are worked on. */
  running(): number {
    return this.workers.reduce((sum, { engine }) => sum + engine.running, 0);
  }

  /** Names of all keys, without what comes before them. */
  async keys(): Promise<string[]> {
    const start = this.names.workers.slice(0, -'workers'.length);
    return (await this.redis.keys(`${start}*`)).map((key) => key.slice(start.length)).sort();
  }

  async close(): Promise<void> {
    for (const { connection } of this.#others) await connection.close();
    await Promise.all([this.client, ...this.#others.map(({ client }) => client)].map((client) => client.close()));
    await Promise.all(this.workers.map(({ consumer }) => consumer.close()));
    const keys = await this.keys().catch(() => []);
    const start = this.names.workers.slice(0, -'workers'.length);
    if (keys.length > 0) await this.redis.del(...keys.map((key) => start + key)).catch(() => {});
    await this.link.close();
    await this.#connection.close();
  }
}

async function whenReady(client: QueueWorkerClient): Promise<void> {
  if (client.state().phase === 'ready') return;
  await new Promise<void>((resolve) => {
    const stop = client.watch(() => {
      if (client.state().phase !== 'ready') return;
      stop();
      resolve();
    });
  });
}

function hostOf(engine: Engine, options: QueueConsumerOptions, state: { readonly draining: boolean }) {
  return {
    sequencesMax: 64,
    timeLimits: options,
    use: async () => ({ engine, [Symbol.dispose]: () => {} }),
    describe: (): WorkerDescription => ({
      workerId: options.workerId,
      protocolVersion: PROTOCOL_VERSION,
      version: VERSION,
      state: state.draining ? 'draining' : 'ready',
      detail: '',
      models: [modelMessage(engine)],
      sequencesMax: options.maxBatchSize,
      waitingMax: 100,
      load: { ...engine.load(), draining: state.draining },
    }),
  };
}

function modelMessage(engine: Engine): WorkerDescription['models'][number] {
  const { id, contextLength, capabilities, engine: name, created, isDefault } = engine.describe();
  return {
    ...{ id, contextLength, engine: name, created, isDefault },
    aliases: [],
    capabilities: [...capabilities],
    samplingDefaults: undefined,
    maxTokensDefault: 0,
    embeddingLength: 8,
    state: 'loaded',
    detail: '',
  };
}
