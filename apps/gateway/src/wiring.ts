import { hostname } from 'node:os';
import { PRESENCE_INTERVALS, queueNames, type Settings } from '@millrace/contracts';
import { BoundedLabel, type Logger, type WatchedTls } from '@millrace/runtime';
import { Admission } from './admission/admission.js';
import { LineGate } from './batch-jobs/line-gate.js';
import { SegmentStore } from './batch-jobs/segments.js';
import { AnswerCache } from './cache/answer-cache.js';
import { NOTHING_KEPT } from './cache/response-cache.js';
import { SemanticCache } from './cache/semantic-cache.js';
import { NO_SEMANTIC_LOOKUP, type SemanticLookup } from './cache/semantic-lookup.js';
import { SharedRuns } from './cache/shared-runs.js';
import { GrpcWorkerClient, workerSecurity } from './dispatch/adapters/grpc-worker-client.js';
import { ProviderClient } from './dispatch/adapters/provider-client.js';
import { ProviderPings } from './dispatch/adapters/provider-pings.js';
import { QueueLink } from './dispatch/adapters/queue/queue-link.js';
import { QueuePools } from './dispatch/adapters/queue/queue-pools.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import type { ProviderModel } from './dispatch/provider-models.js';
import { Providers } from './dispatch/providers.js';
import type { WorkerClient } from './dispatch/worker-client.js';
import type { Authenticator } from './keys/authenticator.js';
import { watch } from './metrics/process-metrics.js';
import { MODELS_MAX, RequestMetrics } from './metrics/request-metrics.js';
import { RestingAsked } from './metrics/resting-asked.js';
import { degradedBy, type Parts } from './open-parts.js';
import type { GatewayTls } from './open-tls.js';
import { RequestLog } from './request-log/request-log.js';
import { ResponseNews } from './responses/response-news.js';
import { DnsDiscovery } from './routing/adapters/dns-discovery.js';
import { KubernetesDiscovery } from './routing/adapters/kubernetes-discovery.js';
import { RedisDiscovery } from './routing/adapters/redis-discovery.js';
import { StaticDiscovery } from './routing/adapters/static-discovery.js';
import { DispatchChoice } from './routing/dispatch-choice.js';
import { entryOf } from './routing/models-in-force.js';
import { WorkerDirectory } from './routing/worker-directory.js';
import type { WorkerDiscovery } from './routing/worker-discovery.js';
import { WorkerMembers } from './routing/worker-members.js';
import { ModelCatalog } from './validation/model-catalog.js';
import { DocumentReader } from './vector-stores/documents/document-reader.js';
import { Ingestion } from './vector-stores/ingestion.js';
import { SearchChunks } from './vector-stores/search-chunks.js';
import { VectorPlaces } from './vector-stores/vector-places.js';
import { ANYONE } from './vocabulary.js';
import { AnswerBatchLine } from './walks/answer-batch-line.js';
import { AnthropicModels } from './walks/anthropic-models.js';
import { BatchFileAccess } from './walks/batch-file-access.js';
import { CachedAnswers } from './walks/cached-answers.js';
import { CompleteChat } from './walks/complete-chat.js';
import { CompleteText } from './walks/complete-text.js';
import { CountInputTokens } from './walks/count-input-tokens.js';
import { DoWork } from './walks/do-work.js';
import { Embed } from './walks/embed.js';
import { EmbedChunks } from './walks/embed-chunks.js';
import { Entrance } from './walks/entrance.js';
import { FilePlaces } from './walks/file-places.js';
import { FindWorkers } from './walks/find-workers.js';
import { FollowResponse } from './walks/follow-response.js';
import { ListModels } from './walks/list-models.js';
import { ManageBatches } from './walks/manage-batches.js';
import { ManageConversations } from './walks/manage-conversations.js';
import { ManageFiles } from './walks/manage-files.js';
import { ManageKeys } from './walks/manage-keys.js';
import { ManageModels } from './walks/manage-models.js';
import { ManageResponses } from './walks/manage-responses.js';
import { ManageStoredChats } from './walks/manage-stored-chats.js';
import { ManageStoredModels } from './walks/manage-stored-models.js';
import { ManageUploads } from './walks/manage-uploads.js';
import { ManageVectorStores } from './walks/manage-vector-stores.js';
import { Messages } from './walks/messages.js';
import { ModelJobs } from './walks/model-jobs.js';
import { Moderate } from './walks/moderate.js';
import { PlainChat } from './walks/plain-chat.js';
import { WorkerQuestionVectors } from './walks/question-vector.js';
import { QueueResponse } from './walks/queue-response.js';
import { Readiness } from './walks/readiness.js';
import { RefuseRequest } from './walks/refuse-request.js';
import { ReportUsage } from './walks/report-usage.js';
import { Rerank } from './walks/rerank.js';
import { Respond } from './walks/respond.js';
import { ResponseInputs } from './walks/response-input.js';
import { RunBackgroundResponses } from './walks/run-background-responses.js';
import { RunBatchJobs } from './walks/run-batch-jobs.js';
import { SearchFiles } from './walks/search-files.js';
import { SearchVectorStore } from './walks/search-vector-store.js';
import { StoredCalls } from './walks/stored-call.js';
import { StoredNames } from './walks/stored-names.js';
import { Tokenize } from './walks/tokenize.js';
import { ToldItems } from './walks/told-items.js';

/** What the protocol adds to a request's body, several times over: names, ids, sampling. */
const FRAME_BYTES_EXTRA = 64 * 1024;

export interface Walks {
  readonly completeChat: CompleteChat;
  readonly completeText: CompleteText;
  readonly messages: Messages;
  readonly manageStoredChats: ManageStoredChats;
  readonly moderate: Moderate;
  readonly respond: Respond;
  readonly queueResponse: QueueResponse;
  readonly manageResponses: ManageResponses;
  readonly backgroundResponses: RunBackgroundResponses;
  readonly manageConversations: ManageConversations;
  readonly countInputTokens: CountInputTokens;
  readonly embed: Embed;
  readonly rerank: Rerank;
  readonly tokenize: Tokenize;
  readonly manageModels: ManageModels;
  readonly anthropicModels: AnthropicModels;
  readonly plainChat: PlainChat;
  readonly listModels: ListModels;
  readonly manageFiles: ManageFiles;
  readonly manageUploads: ManageUploads;
  readonly manageBatches: ManageBatches;
  readonly batchJobs: RunBatchJobs;
  readonly manageVectorStores: ManageVectorStores;
  readonly searchVectorStore: SearchVectorStore;
  readonly manageKeys: ManageKeys;
  readonly manageStoredModels: ManageStoredModels;
  readonly reportUsage: ReportUsage;
  readonly readiness: Readiness;
  readonly refuseRequest: RefuseRequest;
  readonly authenticator: Authenticator;
  /** As of the parts. */
  readonly broken: Promise<never>;
  /** Whoever still waits for a place or a worker is told that this stops. */
  stopWaiting(): void;
  /** Before anybody is served. @throws ConfigurationError when `providerCheck` is strict and a provider can not be used. */
  checkProviders(): Promise<void>;
  close(): Promise<void>;
}

/**
 * From settings to walks: every object of the gateway that is not HTTP is made here, or in `open-parts.ts` what stands on a store. Call
 * after `startMetrics`. The parts are the walks' from here on, and closed with them.
 */
export function wire(
  settings: Settings,
  logger: Logger,
  parts: Parts,
  tls: GatewayTls,
  environment: NodeJS.ProcessEnv,
): Walks {
  const refusals = new Map<string, string>();
  const directory = new WorkerDirectory<WorkerClient>();
  const members = new WorkerMembers(
    openDiscovery(settings, parts, logger),
    directory,
    (address) => connectWorker(address, settings, tls.workers, refusals, logger),
    { forgetMs: settings.discoveryIntervalMs * PRESENCE_INTERVALS, drainTimeoutMs: settings.drainTimeoutMs },
    logger,
  );
  members.start();
  const pools = openPools(settings, parts, directory, logger);
  const modelLabels = new BoundedLabel(MODELS_MAX);
  const restingAsked = new RestingAsked(modelLabels);
  const models = new ModelCatalog(
    () => directory.models(),
    () => parts.models.current,
    undefined,
    restingAsked.count,
  );
  restingAsked.expect(models.resting);
  const unwatchFile = parts.models.watch(() => restingAsked.expect(models.resting));
  const pings = new ProviderPings(environment, settings.providerCheckTimeoutMs);
  const providers = openProviders(parts, directory, pings, environment, settings, logger);
  const admission = new Admission(settings, directory);
  const requests = new RequestMetrics(modelLabels);
  const requestLog = new RequestLog(logger, [requests.observe, ...parts.listeners], settings, requests.observeGap);
  const dispatcher = new Dispatcher();
  const entrance = new Entrance(admission, parts.rates, settings, models, new StoredNames(parts.modelStore));
  const choice = new DispatchChoice(directory, settings, (worker, is, code) => {
    if (is === 'open')
      logger.warn({ worker, code }, 'a worker is left alone, since it failed several times one after another');
    else logger.info({ worker }, 'a worker that was left alone answers again');
  });
  const findWorkers = new FindWorkers(admission, directory, choice, settings);
  const answerCache = openAnswerCache(settings, parts, openSemantic(settings, parts, directory, logger), logger);
  const cached = new CachedAnswers(answerCache, openSharedRuns(settings));
  const completeChat = new CompleteChat(
    models,
    entrance,
    cached,
    findWorkers,
    dispatcher,
    requestLog,
    parts.storedChats,
  );
  const work = new DoWork(entrance, findWorkers, dispatcher);
  const watching = watch(
    {
      running: () => admission.byModel.running,
      waiting: () => admission.byModel.waiting,
      models: () => [
        ...directory.workers.flatMap(({ models: served }) => served ?? []),
        ...[...models.resting].map((id) => ({ id, capabilities: [] })),
      ],
      waitingBytes: () => admission.waitingBytes,
      queueJobs: () => pools?.waiting ?? new Map(),
      workerPhases: () => directory.states().map(({ phase }) => phase),
      certificates: () => tls.secondsLeft(),
    },
    modelLabels,
    (model) => requests.begin(model),
  );
  const stored = new StoredCalls(requestLog, parts.rates);
  const places = {
    uploads: new FilePlaces(settings.fileUploadsMax, { doing: 'uploaded or put together', setting: 'fileUploadsMax' }),
    downloads: new FilePlaces(settings.fileDownloadsMax, { doing: 'downloaded', setting: 'fileDownloadsMax' }),
  };
  const completeText = new CompleteText(models, entrance, requestLog, completeChat);
  const vectorStores = openVectorStores(parts, settings, logger, { models, directory, requestLog, work, stored });
  const responseInputs = new ResponseInputs(parts.responses, parts.thoughts);
  const searchFiles = new SearchFiles(parts.vectorTables.stores, vectorStores.search);
  const respond = new Respond(completeChat, responseInputs, searchFiles, parts.responses, parts.thoughts, logger);
  const embed = new Embed(models, requestLog, work);
  const moderate = new Moderate(completeChat, settings.moderationModel);
  const tokenize = new Tokenize(models, requestLog, work);
  const batchFiles = new BatchFileAccess(parts.files.store);
  const batchJobs = new RunBatchJobs(
    {
      queue: parts.jobs,
      store: parts.batches,
      files: batchFiles,
      segments: new SegmentStore(parts.objects, parts.batches),
      gate: new LineGate(settings, () => admission.interactive),
      answerLine: new AnswerBatchLine(completeChat, respond, completeText, embed, moderate),
      callers: parts.authenticator,
    },
    { batchLinesMax: settings.batchLinesMax, lineBytesMax: settings.bodyBytesMax },
    logger,
  );
  batchJobs.start();
  const { responses, conversations, runs } = parts.responseTables;
  const toldItems = new ToldItems(parts.thoughts);
  const news = new ResponseNews();
  const following = new FollowResponse(runs, news);
  const backgroundResponses = new RunBackgroundResponses(
    {
      queue: parts.responseJobs,
      runs,
      news,
      producer: respond,
      // Where all rest, somebody has to wait for them, or they never come.
      canAnswer: () => directory.servesAny || models.resting.size > 0,
      callers: parts.authenticator,
    },
    settings,
    logger,
  );
  backgroundResponses.start();
  const modelJobs = new ModelJobs(settings, logger);
  const manageModels = new ManageModels(models, directory, parts.models);
  return {
    completeChat,
    completeText,
    messages: new Messages(completeChat, tokenize),
    manageStoredChats: new ManageStoredChats(stored, parts.storedChats),
    moderate,
    respond,
    queueResponse: new QueueResponse(respond, backgroundResponses, following, settings),
    manageResponses: new ManageResponses(stored, responses, runs, following, backgroundResponses, toldItems),
    backgroundResponses,
    manageConversations: new ManageConversations(stored, conversations, responses, toldItems),
    countInputTokens: new CountInputTokens(models, requestLog, work, responseInputs),
    embed,
    rerank: new Rerank(models, requestLog, work),
    tokenize,
    manageModels,
    anthropicModels: new AnthropicModels(manageModels),
    plainChat: new PlainChat(completeChat, directory),
    listModels: new ListModels(manageModels, directory),
    manageFiles: new ManageFiles(stored, parts.files.store, places),
    manageUploads: new ManageUploads(stored, parts.files.uploads, parts.files.completion, places.uploads),
    manageBatches: new ManageBatches(stored, parts.batches, batchFiles, batchJobs, settings),
    batchJobs,
    manageVectorStores: vectorStores.manage,
    searchVectorStore: vectorStores.search,
    manageKeys: new ManageKeys(parts.keys.store, parts.keys.ring, parts.keys.news, requestLog, logger),
    manageStoredModels: new ManageStoredModels(parts.modelStore, modelJobs, directory, requestLog),
    reportUsage: new ReportUsage(parts.totals, requestLog),
    readiness: new Readiness(directory, settings, {
      obstacle: () => parts.obstacle(),
      noWorkers: () => members.trouble ?? pools?.trouble ?? noWorkers(settings),
      degraded: () => [
        ...parts.degraded(),
        ...degradedBy([
          ['workers', members.trouble],
          ['queue', pools?.trouble],
          ['providers', providers.trouble],
          ...[...tls.troubles(), ...refusedWorkers(directory, refusals)].map((trouble) => ['tls', trouble] as const),
        ]),
      ],
    }),
    refuseRequest: new RefuseRequest(requestLog),
    authenticator: parts.authenticator,
    broken: parts.broken,
    stopWaiting: () => admission.close(),
    checkProviders: () => providers.checked(),
    close: async () => {
      watching[Symbol.dispose]();
      unwatchFile();
      admission.close();
      await Promise.all([batchJobs.stop(0), backgroundResponses.stop(0)]);
      await modelJobs.close();
      await vectorStores.ingestion.close();
      choice.close();
      await members.close();
      await pools?.close();
      await answerCache.close();
      pings.close();
      await providers.close();
      await parts.close();
    },
  };
}

/** Undefined: nothing is dispatched by a queue. */
function openPools(
  settings: Settings,
  { queueRedis }: Parts,
  directory: WorkerDirectory<WorkerClient>,
  logger: Logger,
): QueuePools | undefined {
  if (queueRedis === undefined) return undefined;
  directory.expectMore(true, 'queue');
  const names = queueNames(settings.redisKeyPrefix);
  const link = new QueueLink(queueRedis, names, { ...settings, gatewayId: gatewayId() }, logger);
  const limits = { ...settings, sentBytesMax: settings.bodyBytesMax + FRAME_BYTES_EXTRA };
  return new QueuePools(link, directory, limits, () => directory.expectMore(false, 'queue'), logger);
}

function gatewayId(): string {
  return `gateway@${hostname()}:${process.pid}`;
}

interface VectorStoreNeeds {
  readonly models: ModelCatalog;
  readonly directory: WorkerDirectory<WorkerClient>;
  readonly requestLog: RequestLog;
  readonly work: DoWork;
  readonly stored: StoredCalls;
}

function openVectorStores(
  { vectorTables, vectors, files: { store: files }, authenticator }: Parts,
  settings: Settings,
  logger: Logger,
  { models, directory, requestLog, work, stored }: VectorStoreNeeds,
) {
  const { stores, entries, chunks } = vectorTables;
  const places = new VectorPlaces(vectors);
  const embedding = new EmbedChunks(models, directory, requestLog, work, settings.vectorStoreModel);
  const reader = new DocumentReader(settings);
  const ingestion = new Ingestion(
    { ...vectorTables, places, files, reader, embedding },
    async (owner) => (owner === undefined ? ANYONE : authenticator.callerOfKey(owner)),
    settings,
    logger,
  );
  // Where nothing is ever compared, nothing is read either.
  if (vectors !== undefined) ingestion.start();
  const searched = new SearchChunks(entries, chunks, places, settings);
  return {
    ingestion,
    manage: new ManageVectorStores(stored, vectorTables, files, embedding, ingestion),
    search: new SearchVectorStore(models, requestLog, work, stores, searched, logger),
  };
}

/** The settings that each needs are there: `contradictionsIn` has seen to it. */
function openDiscovery(settings: Settings, { redis }: Parts, logger: Logger): WorkerDiscovery {
  const { workerDiscovery, workers, workersDns, workersService, discoveryIntervalMs, redisKeyPrefix } = settings;
  // Workers that take from queues say so themselves.
  if (settings.dispatch === 'queue') return new StaticDiscovery([]);
  switch (workerDiscovery) {
    case 'static':
      return new StaticDiscovery(workers);
    case 'dns':
      return new DnsDiscovery({ name: workersDns!, intervalMs: discoveryIntervalMs });
    case 'kubernetes':
      return new KubernetesDiscovery(workersService!, logger);
    case 'redis':
      return new RedisDiscovery(redis!, { prefix: redisKeyPrefix, intervalMs: discoveryIntervalMs });
  }
}

/** Why there may be none, where looking for them went well. */
const NO_WORKERS: Readonly<Record<Settings['workerDiscovery'], string>> = {
  static: 'No worker is configured: name one with --workers.',
  dns: 'No worker was found: DNS names none for `workersDns`.',
  kubernetes: 'No worker was found: `workersService` has no endpoint that is ready and has this port.',
  redis:
    'No worker was found: none announces itself in Redis. Each needs workerDiscovery: redis, and redisUrl and redisKeyPrefix as here.',
};

function noWorkers({ dispatch, workerDiscovery }: Settings): string {
  return dispatch === 'queue' ? NO_POOLS : NO_WORKERS[workerDiscovery];
}

const NO_POOLS =
  'No worker was found: none takes from a queue. Each needs dispatch: queue or both, and queueRedisUrl (or redisUrl) and redisKeyPrefix as here.';

function openProviders(
  { models }: Parts,
  directory: WorkerDirectory<WorkerClient>,
  pings: ProviderPings,
  environment: NodeJS.ProcessEnv,
  settings: Settings,
  logger: Logger,
): Providers {
  const open = (model: ProviderModel) =>
    new ProviderClient({
      model,
      pingsAtStart: settings.providerCheck !== 'off',
      ping: () => pings.ping(model.upstream),
      environment,
      limits: settings,
      logger,
    });
  return new Providers(models, directory, open, settings, logger);
}

/** Workers that are away since they and this gateway do not believe each other. @param refusals by address, why it was last refused */
function refusedWorkers(directory: WorkerDirectory<WorkerClient>, refusals: Map<string, string>): string[] {
  const refused = directory
    .states()
    .filter(({ address, phase, detail }) => phase !== 'ready' && refusals.get(address) === detail);
  // Addresses come and go, by the thousand over the months.
  const addresses = new Set(refused.map(({ address }) => address));
  for (const address of refusals.keys()) if (!addresses.has(address)) refusals.delete(address);
  return refused.map(({ address, detail }) => `The worker ${address} can't be asked: ${detail}.`);
}

function connectWorker(
  address: string,
  settings: Settings,
  tls: WatchedTls | undefined,
  refusals: Map<string, string>,
  logger: Logger,
): WorkerClient {
  const sentBytesMax = settings.bodyBytesMax + FRAME_BYTES_EXTRA;
  const security =
    tls && workerSecurity(address, tls, settings['workerTls.serverName'], (why) => refusals.set(address, why));
  return new GrpcWorkerClient(address, gatewayId(), { ...settings, sentBytesMax }, logger, security);
}

function openSemantic(
  settings: Settings,
  { vectors, responseCache, models }: Parts,
  directory: WorkerDirectory<WorkerClient>,
  logger: Logger,
): SemanticLookup {
  if (vectors === undefined || responseCache === undefined) return NO_SEMANTIC_LOOKUP;
  const options = {
    thresholdOf: (model: string) =>
      entryOf(models.current, model)?.cache.semanticThreshold ?? settings.semanticCacheThreshold,
    timeoutMs: settings.semanticCacheTimeoutMs,
    entriesMax: settings.semanticCacheEntriesMax,
    ageMsMax: settings.cacheAgeMsMax,
  };
  return new SemanticCache(vectors, new WorkerQuestionVectors(directory, settings.semanticCacheModel), options, logger);
}

function openAnswerCache(
  settings: Settings,
  { responseCache, models }: Parts,
  semantic: SemanticLookup,
  logger: Logger,
): AnswerCache {
  return new AnswerCache(
    responseCache ?? NOTHING_KEPT,
    semantic,
    {
      mode: settings.cache,
      modelCache: (model) => entryOf(models.current, model)?.cache,
      closed: responseCache === undefined,
      entryBytesMax: settings.cacheEntryBytesMax,
    },
    logger,
  );
}

/** Events take so much more memory than the entry that is made of them. */
const EVENT_BYTES_FACTOR = 4;
/** Of answers that are being computed, all together. */
const HELD_BYTES_MAX = 64 * 1024 * 1024;

function openSharedRuns(settings: Settings): SharedRuns {
  const { cacheBytesMax, cacheEntryBytesMax, requestTimeoutMs, backgroundTimeoutMs } = settings;
  const bytesMax = Math.min(cacheBytesMax, HELD_BYTES_MAX);
  const runBytesMax = EVENT_BYTES_FACTOR * cacheEntryBytesMax;
  return new SharedRuns({ runBytesMax, bytesMax, requestTimeoutMs, backgroundTimeoutMs });
}
