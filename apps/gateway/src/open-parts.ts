import { join } from 'node:path';
import { isLoopback, type ReadyzBody, type Settings } from '@millrace/contracts';
import { ConfigurationError, type Logger, type WatchedTls } from '@millrace/runtime';
import { type ModelStore, type ObjectStore, openModelStore, openObjectStore } from '@millrace/storage';
import { BatchStore } from './batch-jobs/batch-store.js';
import { BatchSweep } from './batch-jobs/batch-sweep.js';
import { SegmentStore } from './batch-jobs/segments.js';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import { RedisResponseCache } from './cache/adapters/redis-response-cache.js';
import type { ResponseCache } from './cache/response-cache.js';
import { openFiles, type StoredFiles } from './files/stored-files.js';
import { MemoryKeyNews } from './keys/adapters/memory-key-news.js';
import { RedisKeyNews } from './keys/adapters/redis-key-news.js';
import type { Authenticator } from './keys/authenticator.js';
import { installationSecrets } from './keys/installation-secret.js';
import type { KeyNews } from './keys/key-news.js';
import { KeyRing } from './keys/key-ring.js';
import { SqlKeySource } from './keys/key-source.js';
import { KeyStore } from './keys/key-store.js';
import { MemoryRateLimiter } from './limits/adapters/memory-rate-limiter.js';
import { RedisRateLimiter } from './limits/adapters/redis-rate-limiter.js';
import type { CallerRates } from './limits/caller-rates.js';
import { CountedRates } from './limits/counted-rates.js';
import { FallbackLimiter } from './limits/fallback-limiter.js';
import type { RateLimiter } from './limits/rate-limiter.js';
import type { GatewayTls } from './open-tls.js';
import { RecordWriter } from './request-log/record-writer.js';
import type { RecordListener } from './request-log/request-log.js';
import { RunFile } from './request-log/run-file.js';
import { UsageTotals } from './request-log/usage-totals.js';
import type { ResponseStore } from './responses/response-store.js';
import { openResponses, type StoredResponses } from './responses/stored-responses.js';
import { ThoughtSeal } from './responses/thought-seal.js';
import { limitsOf, type ModelsInForce, WatchedModels } from './routing/models-in-force.js';
import { StoredChats } from './stored-chats/stored-chats.js';
import { StoredChatsSweep } from './stored-chats/stored-chats-sweep.js';
import { EmbeddedDatabase } from './stores/adapters/pglite/embedded-database.js';
import { PgvectorStore } from './stores/adapters/pgvector-store.js';
import { PostgresDatabase } from './stores/adapters/postgres-database.js';
import { RedisConnection } from './stores/adapters/redis-connection.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';
import type { JobQueue } from './stores/job-queue.js';
import { MigratedDatabase } from './stores/migrated-database.js';
import { readMigrations } from './stores/migration-files.js';
import type { SqlDatabase } from './stores/sql-database.js';
import type { VectorStore } from './stores/vector-store.js';
import { type VectorStoreTables, vectorStoreTables } from './vector-stores/vector-store-tables.js';

export type Degraded = NonNullable<ReadyzBody['degraded']>;

/** What stands on a store, and so differs between one machine and many. */
export interface Parts {
  readonly authenticator: Authenticator;
  readonly keys: { readonly store: KeyStore; readonly ring: Pick<KeyRing, 'lookNow'>; readonly news: KeyNews };
  readonly rates: CallerRates;
  /** Undefined: there is none. */
  readonly redis: RedisConnection | undefined;
  /** That of the queues. Undefined: nothing is dispatched by a queue. */
  readonly queueRedis: RedisConnection | undefined;
  readonly totals: UsageTotals;
  /** Undefined: no answer is ever kept. */
  readonly responseCache: ResponseCache | undefined;
  /** Opens nothing before it is asked. Undefined: nothing is ever compared. */
  readonly vectors: VectorStore | undefined;
  /** The content of files. */
  readonly objects: ObjectStore;
  /** What is known of files, and on both of them the way to either. */
  readonly files: StoredFiles;
  /** Batches: work that need not be done at once. */
  readonly jobs: JobQueue;
  readonly batches: BatchStore;
  readonly storedChats: StoredChats;
  /** What is known of responses and conversations, and `responses` is a part of. */
  readonly responseTables: StoredResponses;
  /** Responses that are to be answered in the background. */
  readonly responseJobs: JobQueue;
  /** The registry of models, and the bucket where there is one. */
  readonly modelStore: ModelStore;
  /** What is known of vector stores; their vectors are in `vectors`. */
  readonly vectorTables: VectorStoreTables;
  /** What is kept of responses. */
  readonly responses: ResponseStore;
  /** Thoughts that clients keep for themselves. */
  readonly thoughts: ThoughtSeal;
  /** What the models file says, now and after each edit. */
  readonly models: ModelsInForce;
  /** Whoever wants every record. */
  readonly listeners: readonly RecordListener[];
  /** Never resolves. @throws ConfigurationError when a store can not be used until a person mends something. */
  readonly broken: Promise<never>;
  /** Why nobody can be served, as a sentence; undefined: nothing here is in the way. */
  obstacle(): string | undefined;
  /** What works, but not as it should. */
  degraded(): Degraded;
  close(): Promise<void>;
}

/** A start waits so long for Redis; then it goes on without. */
const REDIS_START_WAIT_MS = 1_000;
/** How long a command about a queue may take: the request that it is for has nowhere else to go. */
const QUEUE_TIMEOUT_MS = 5_000;
/** At the end: what is not in the database by then stays in the spool, and the next start writes it. */
const LAST_WRITES_MS = 5_000;

/**
 * Stores and what stands on them, as the settings say. Everything here connects in the background: a store that is away keeps nobody from
 * starting. Call after `startMetrics`.
 *
 * @throws ConfigurationError when a URL, a secret or the models file is wrong.
 */
export async function openParts(
  settings: Settings,
  logger: Logger,
  tls: GatewayTls,
  environment: NodeJS.ProcessEnv = {},
): Promise<Parts> {
  const secrets = installationSecrets(settings, logger);
  const models = new WatchedModels(settings.modelsFile, settings.modelsFileCheckMs, logger);
  const redis = settings.redisUrl === undefined ? undefined : openRedis(settings.redisUrl, settings, tls.redis, logger);
  const queueRedis = openQueueRedis(settings, tls.redis, logger);
  const qdrant = await openQdrant(settings, tls.qdrant);
  const objects = await openObjectStore(settings, 'files', join(settings.dataFolder, 'files'), tls.s3);
  const modelStore = await openModelStore(settings, environment, tls.s3);
  const { database, broken } = openDatabase(settings, tls.postgres, logger);
  const jobs = await openJobs(settings, redis, database, tls, logger);

  const news =
    redis === undefined ? new MemoryKeyNews() : new RedisKeyNews(redis.client, `${settings.redisKeyPrefix}:keys`);
  const openWithoutKeys = isLoopback(settings.host) || settings.allowUnauthenticated;
  const ring = new KeyRing(
    new SqlKeySource(database, secrets.keySecret),
    news,
    { ...settings, ...secrets, openWithoutKeys },
    logger,
  );
  const store = new KeyStore(database, secrets.keySecret, settings);
  const records = new RecordWriter(database, settings, logger);
  const run = settings.runsFolder === undefined ? undefined : new RunFile(settings.runsFolder, settings, logger);
  const totals = new UsageTotals(database, records);
  const vectors = qdrant ?? new PgvectorStore(database, { timeoutMs: settings.vectorTimeoutMs });
  const rates = new CountedRates(openLimiter(redis, settings, logger), {
    modelLimits: (model) => limitsOf(models.current, model),
    usedTokens: (keyId) => totals.usedTokens(keyId),
    answerTokensEstimate: settings.answerTokensEstimate,
  });
  const files = openFiles(database, objects, settings, logger);
  files.sweep.start();
  const batches = new BatchStore(database);
  const batchSweep = new BatchSweep(database, new SegmentStore(objects, batches), settings, logger);
  batchSweep.start();
  const storedChatsSweep = new StoredChatsSweep(database, settings, logger);
  storedChatsSweep.start();
  const responseTables = openResponses(database, settings, logger);
  responseTables.sweep.start();
  const redises = [redis, queueRedis].map((one) => one?.ready(REDIS_START_WAIT_MS));
  await Promise.all([records.open(), run?.open(), ...redises]);
  return {
    authenticator: ring,
    keys: { store, ring, news },
    rates,
    redis,
    queueRedis,
    totals,
    responseCache: openResponseCache(redis, settings),
    vectors,
    objects,
    files,
    jobs: jobs.batches,
    batches,
    storedChats: new StoredChats(database, settings, logger),
    responseTables,
    responseJobs: jobs.responses,
    modelStore,
    vectorTables: vectorStoreTables(database, settings),
    responses: responseTables.responses,
    thoughts: new ThoughtSeal(secrets.keySecret),
    models,
    listeners: run === undefined ? [records.observe] : [records.observe, run.observe],
    broken,
    obstacle: () => (ring.usable ? undefined : ring.trouble),
    degraded: () =>
      degradedBy([
        ['redis', redis?.trouble],
        ['redis', rates.trouble],
        ['database', database.trouble],
        ['vectors', vectors.trouble],
        ['objects', objects.trouble],
        // Where it stands on the database, that one has said it.
        ['jobs', jobs.own ? jobs.batches.trouble : undefined],
        ['objects', modelStore.bucket?.trouble],
        ['keys', ring.trouble],
        ['records', records.trouble],
        ['models_file', models.trouble],
      ]),
    close: async () => {
      models.close();
      await Promise.all([records.close(LAST_WRITES_MS), run?.close()]);
      await Promise.all([ring.close(), rates.close(), news.close()]);
      await Promise.all([files.close(), batchSweep.close(), storedChatsSweep.close(), responseTables.sweep.close()]);
      await Promise.all([vectors.close(), objects.close(), jobs.close(), modelStore.close()]);
      await Promise.all([redis?.close(), queueRedis?.close(), database.close()]);
    },
  };
}

function openDatabase(
  settings: Settings,
  tls: WatchedTls | undefined,
  logger: Logger,
): { database: SqlDatabase; broken: Promise<never> } {
  const { postgresUrl, postgresConnectionsMax, sqlTimeoutMs, dataFolder } = settings;
  const migrated = (database: SqlDatabase) => new MigratedDatabase(database, readMigrations(), logger);
  if (postgresUrl !== undefined) {
    const options = { url: postgresUrl, connectionsMax: postgresConnectionsMax, timeoutMs: sqlTimeoutMs, tls };
    // A server that is away comes back; nothing about it is a reason to end.
    return { database: migrated(new PostgresDatabase(options, logger)), broken: NEVER };
  }
  const embedded = new EmbeddedDatabase({ dataFolder, timeoutMs: sqlTimeoutMs }, logger);
  return { database: migrated(embedded), broken: unusable(embedded) };
}

const NEVER = new Promise<never>(() => {});

/** Rejects when another gateway has the folder, or when it is damaged. A start that was only too slow is tried again. */
async function unusable(database: EmbeddedDatabase): Promise<never> {
  try {
    await database.opened();
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
  }
  return NEVER;
}

function openRedis(
  url: string,
  { redisTimeoutMs }: Settings,
  tls: WatchedTls | undefined,
  logger: Logger,
): RedisConnection {
  return new RedisConnection({ url, timeoutMs: redisTimeoutMs, name: 'millrace-gateway', tls }, logger);
}

/** How long a job belongs to a gateway that may have been killed. */
const JOB_LEASE_MS = 30_000;
/** Of all batches together, at most a few of each are in the queue at a time; of responses, those that nobody has found room for wait elsewhere. */
const JOBS_MAX = 10_000;
/** BullMQ asks Redis several things for one of ours. */
const JOBS_TIMEOUT_MS = 5_000;

interface OpenJobs {
  readonly batches: JobQueue;
  /** One of their own: somebody waits for these, and none of them behind a batch. */
  readonly responses: JobQueue;
  /** They have a store of their own. */
  readonly own: boolean;
  close(): Promise<void>;
}

/** On Redis where there is one, and else in the database. */
async function openJobs(
  settings: Settings,
  redis: RedisConnection | undefined,
  database: SqlDatabase,
  tls: GatewayTls,
  logger: Logger,
): Promise<OpenJobs> {
  const options = { leaseMs: JOB_LEASE_MS, jobsMax: JOBS_MAX };
  const { queueRedisUrl, redisKeyPrefix } = settings;
  const own = queueRedisUrl === undefined ? undefined : openRedis(queueRedisUrl, settings, tls.redis, logger);
  const connection = own ?? redis;
  if (connection === undefined) {
    const queueOf = (queue: string) => new SqlJobQueue(database, { ...options, queue });
    return bothQueues(queueOf, false, async () => {});
  }
  // Loaded for those who have a Redis: it costs every start some time and memory.
  const { BullMqJobQueue } = await import('./stores/adapters/bullmq-job-queue.js');
  const prefix = `${redisKeyPrefix}:jobs`;
  const queueOf = (queue: string) =>
    new BullMqJobQueue(connection, { ...options, queue, prefix, timeoutMs: JOBS_TIMEOUT_MS });
  return bothQueues(queueOf, true, async () => own?.close());
}

/** @param closed what they stand on, behind them. */
function bothQueues(queueOf: (queue: string) => JobQueue, own: boolean, closed: () => Promise<void>): OpenJobs {
  const [batches, responses] = [queueOf('batches'), queueOf('responses')];
  const close = async () => {
    await Promise.all([batches.close(), responses.close()]);
    await closed();
  };
  return { batches, responses, own, close };
}

/** A connection of its own also where both are one Redis: a job may take longer on its way than a count may. */
function openQueueRedis(
  { dispatch, queueRedisUrl, redisUrl }: Settings,
  tls: WatchedTls | undefined,
  logger: Logger,
): RedisConnection | undefined {
  const url = queueRedisUrl ?? redisUrl;
  if (dispatch === 'grpc' || url === undefined) return undefined;
  return new RedisConnection({ url, timeoutMs: QUEUE_TIMEOUT_MS, name: 'millrace-gateway', tls }, logger);
}

async function openQdrant(
  { qdrantUrl, qdrantApiKey, vectorTimeoutMs }: Settings,
  tls: WatchedTls | undefined,
): Promise<VectorStore | undefined> {
  if (qdrantUrl === undefined) return undefined;
  // Loaded for those who have one: it brings an HTTP client of its own, and costs every start a tenth of a second and some MiB.
  const { QdrantVectorStore } = await import('./stores/adapters/qdrant-vector-store.js');
  const { trustOfQdrant } = await import('./stores/adapters/qdrant-trust.js');
  return new QdrantVectorStore({
    url: qdrantUrl,
    apiKey: qdrantApiKey,
    timeoutMs: vectorTimeoutMs,
    requestInit: tls && trustOfQdrant(tls),
  });
}

function openLimiter(redis: RedisConnection | undefined, settings: Settings, logger: Logger): RateLimiter {
  const own = new MemoryRateLimiter();
  if (redis === undefined) return own;
  const shared = new RedisRateLimiter(redis.client, settings.redisKeyPrefix);
  return new FallbackLimiter(shared, own, { retryMs: settings.limiterRetryMs }, logger);
}

function openResponseCache(redis: RedisConnection | undefined, settings: Settings): ResponseCache | undefined {
  const { cacheBytesMax: bytesMax, cacheAgeMsMax: ageMsMax, redisKeyPrefix } = settings;
  if (bytesMax === 0) return undefined;
  const limits = { bytesMax, ageMsMax };
  return redis === undefined
    ? new MemoryResponseCache(limits)
    : new RedisResponseCache(redis.client, redisKeyPrefix, limits);
}

export function degradedBy(troubles: readonly (readonly [Degraded[number]['part'], string | undefined])[]): Degraded {
  return troubles.flatMap(([part, detail]) => (detail === undefined ? [] : [{ part, detail }]));
}
