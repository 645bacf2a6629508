import './pool-threads.js'; // Before everything else.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import { isLoopback, queueNames, type Settings, VERSION } from '@millrace/contracts';
import {
  ConfigurationError,
  clientTls,
  createLogger,
  describeSettings,
  endOnFatalErrors,
  type LoadedSettings,
  type Logger,
  loadSettings,
  machineMemory,
  namesFile,
  readModelsFile,
  startTelemetry,
  tellParent,
  terminationRequested,
  type WatchedTls,
  warnOfSecretFlags,
} from '@millrace/runtime';
import { ModelCache, ModelRegistry, openModelBucket } from '@millrace/storage';
import { libraryModelMaker } from './engines/open-engines.js';
import { openScrapeServer } from './metrics/scrape-server.js';
import { WorkerMetrics } from './metrics/worker-metrics.js';
import { chooseModels, refuseUnusableFile, registeredUnder } from './models/choose-model.js';
import { Library } from './models/library.js';
import { MemoryBudget } from './models/memory-budget.js';
import { modelCacheFolder } from './models/model-cache-folder.js';
import { RegisteredModels } from './models/registered-models.js';
import { TrialMemory } from './models/trial-memory.js';
import { openTls, type WorkerTls } from './open-tls.js';
import { advertisedAddress } from './presence/advertised-address.js';
import { Announcer } from './presence/announcer.js';
import { PromptProcess } from './prompt/process/prompt-process.js';
import { QueueConsumer } from './queue/queue-consumer.js';
import { QueueRedis } from './queue/queue-redis.js';
import { WorkerServer } from './serving/worker-server.js';

const MIB = 1024 * 1024;
/** A start waits so long for a bucket; what comes later is served later. */
const REGISTRY_START_WAIT_MS = 3_000;

/** The worker's composition root: settings → models → library → server. It listens first, so that loading can be watched. */
async function run(loaded: LoadedSettings): Promise<void> {
  const { settings } = loaded;
  const logger = createLogger({ name: 'worker', level: settings.logLevel, format: settings.logFormat });
  endOnFatalErrors(logger);
  logger.info({ settings: describeSettings(loaded) }, `Millrace worker ${VERSION} starts.`);
  warnOfSecretFlags(loaded, logger);

  const tls = await openTls(settings, logger);
  const registered = await openRegistered(settings, tls, logger);
  const looked = registered.look();
  await Promise.race([looked, sleep(REGISTRY_START_WAIT_MS, undefined, { ref: false })]);
  const chosen = chooseAmong(registered, settings);
  await refuseUnusableFile(chosen[0]);
  logger.info(registered.sentence);
  const telemetry = await startTelemetry({
    serviceName: 'millrace-worker',
    serviceVersion: VERSION,
    pool: settings.pool ?? POOL_UNSAID,
    environment: loaded.variables,
    logger,
  });
  const metrics = new WorkerMetrics();
  const budget = new MemoryBudget(machineMemory(), settings.memoryReserveMib * MIB);
  const prompts = new PromptProcess({ templateTimeoutMs: settings.templateTimeoutMs, logger });
  const hopeless = Promise.withResolvers<never>();
  const { variables: environment } = loaded;
  const make = libraryModelMaker(chosen, { settings, budget, prompts, metrics, environment, registered, logger });
  const [first, ...others] = chosen;
  const library = new Library(
    [make(first), ...others.map(make)],
    budget,
    settings,
    {
      onChange: () => server.noteModels(),
      onLoaded: ({ id }, durationMs) => metrics.modelLoaded(id, durationMs),
      onFailed: ({ id }) => metrics.modelFailed(id),
      onUnloaded: ({ id }, reason) => metrics.modelUnloaded(id, reason),
      onHopeless: hopeless.reject,
    },
    logger,
  );
  const server = new WorkerServer(settings, library, logger);
  const offer = () =>
    library.offer([...registered.listed.keys()].map((id) => make(registeredUnder(id, settings, false))));
  void looked.then(() => {
    offer();
    registered.watch(offer);
  });
  metrics.watch({
    engineLoads: () => library.engineLoads,
    loadedModels: () => library.loadedModels,
    batchSizeMax: settings.maxBatchSize,
    tls,
  });

  const stopped = terminationRequested();
  if (settings.workerMetricsPort !== undefined) {
    await openScrapeServer(settings.workerHost, settings.workerMetricsPort, telemetry.answerScrape);
  }
  const port = await server.listen(tls.gateways);
  const isSentWork = settings.dispatch !== 'queue';
  logger.info(
    { port, host: settings.workerHost },
    isSentWork ? 'The worker listens for gateways.' : 'The worker tells its health.',
  );
  // Not refused, as it is for the gateway's `host`: in Kubernetes a worker must listen on all addresses.
  if (isSentWork && !isLoopback(settings.workerHost) && tls.gateways === undefined) {
    logger.warn(
      { port, host: settings.workerHost },
      'Anyone who reaches this port can use the engine: keep it to a trusted network, or give it the files of workerTls.',
    );
  }
  const announcer = announce(settings, port, tls.redis, logger);
  const consumer = takeFromQueue(settings, server, tls.redis, metrics, logger);
  await tellParent({ kind: 'listening', port });

  await Promise.race([library.load(), stopped, hopeless.promise]);
  const why = await Promise.race([stopped, hopeless.promise]);

  logger.info({ why, timeoutMs: settings.drainTimeoutMs }, 'The worker drains.');
  // Gateways that are connected are told first; one that finds no worker any more looks for others.
  const { drainTimeoutMs } = settings;
  await Promise.all([server.drain(drainTimeoutMs), consumer?.drain(drainTimeoutMs), announcer?.withdraw()]);
  await consumer?.close();
  await server.close();
  registered.close();
  await library.close();
  await prompts.close();
  await telemetry.close();
  logger.info('The worker has stopped.');
}

/** @throws ConfigurationError, which also says why the registry or the bucket could not be read: the model may be one of theirs. */
function chooseAmong(registered: RegisteredModels, settings: Settings): ReturnType<typeof chooseModels> {
  try {
    return chooseModels(settings, modelsFileOf(settings), process.cwd(), [...registered.listed.keys()]);
  } catch (error) {
    const { trouble } = registered;
    if (!(error instanceof ConfigurationError) || trouble === undefined) throw error;
    throw new ConfigurationError([...error.problems, trouble]);
  }
}

/** The registry of `modelsDir`, and the bucket where there is one. Asks nobody. @throws ConfigurationError as `modelCacheFolder`. */
async function openRegistered(settings: Settings, tls: WorkerTls, logger: Logger): Promise<RegisteredModels> {
  const { modelsDir, cacheFolder, modelCacheBytesMax: bytesMax, modelsRefreshMs: refreshMs } = settings;
  const models = await openModelBucket(settings, tls.s3);
  const cache = models && new ModelCache(models, { folder: modelCacheFolder(settings), bytesMax });
  const bucket = models && cache && { models, cache };
  const digests = new TrialMemory(cacheFolder, logger);
  return new RegisteredModels({ registry: new ModelRegistry(resolve(modelsDir)), bucket, digests, refreshMs }, logger);
}

/** Where gateways find their workers by Redis. */
function announce(
  settings: Settings,
  port: number,
  tls: WatchedTls | undefined,
  logger: Logger,
): Announcer | undefined {
  const { workerDiscovery, redisUrl, redisTimeoutMs, redisKeyPrefix, discoveryIntervalMs } = settings;
  if (workerDiscovery !== 'redis' || redisUrl === undefined) return undefined;
  const address = advertisedAddress(settings, port);
  const secured = /^rediss:/i.test(redisUrl) ? { tls: clientTls(tls, redisUrl) as ConnectionOptions } : {};
  const options = {
    ...secured,
    url: redisUrl,
    timeoutMs: redisTimeoutMs,
    prefix: redisKeyPrefix,
    intervalMs: discoveryIntervalMs,
  };
  logger.info({ address }, 'The worker announces itself in Redis.');
  if (isLoopback(hostOf(address)) && !isLoopback(hostOf(URL.parse(redisUrl)?.host ?? ''))) {
    logger.warn(
      { address },
      'The worker announces itself by an address that means another machine at each. Set workerHost, or workerAdvertise, to one by which gateways reach it.',
    );
  }
  return new Announcer({ ...options, address }, logger);
}

const POOL_UNSAID = 'default';

/** Where this worker takes from the queue of a pool. */
function takeFromQueue(
  settings: Settings,
  server: WorkerServer,
  tls: WatchedTls | undefined,
  metrics: WorkerMetrics,
  logger: Logger,
): QueueConsumer | undefined {
  const { dispatch, pool = POOL_UNSAID, redisKeyPrefix } = settings;
  const url = settings.queueRedisUrl ?? settings.redisUrl;
  if (dispatch === 'grpc' || url === undefined) return undefined;
  const secured = /^rediss:/i.test(url) ? { tls: clientTls(tls, url) as ConnectionOptions } : {};
  // The number of a process comes again, in a container always.
  const workerId = `worker@${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const consumer = new QueueConsumer(
    new QueueRedis({ url, ...secured }),
    queueNames(redisKeyPrefix),
    { ...settings, pool, workerId },
    server,
    logger,
    (outcome) => metrics.jobTaken(outcome),
  );
  consumer.start();
  logger.info({ pool }, 'The worker takes jobs from the queue of its pool.');
  return consumer;
}

function hostOf(address: string): string {
  return address.replace(/:\d+$/, '');
}

/** Not read when `model` names a file and there is no such list: one's own model needs none. */
function modelsFileOf({ model, modelsFile }: Settings): ReturnType<typeof readModelsFile> | undefined {
  const path = resolve(modelsFile);
  if (model !== undefined && namesFile(model) && !existsSync(path)) return undefined;
  return readModelsFile(path);
}

try {
  await run(
    loadSettings({
      reader: 'worker',
      args: process.argv.slice(2),
      environment: process.env,
      workingFolder: process.cwd(),
    }),
  );
  process.exit(0);
} catch (error) {
  const sentence = error instanceof Error ? error.message : String(error);
  // `millrace serve` says it; nobody else would.
  if (!(await tellParent({ kind: 'failed', sentence }))) process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
