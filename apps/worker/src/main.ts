import './pool-threads.js'; // Before everything else.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type Engine, isLoopback, type Settings, VERSION } from '@millrace/contracts';
import {
  createLogger,
  describeSettings,
  type LoadedSettings,
  type Logger,
  loadSettings,
  machineMemory,
  namesFile,
  readModelsFile,
  startMetrics,
  tellParent,
  terminationRequested,
} from '@millrace/runtime';
import { BatchingEngine } from './batching/batching-engine.js';
import { EmbeddingEngine } from './embedding/embedding-engine.js';
import { openScrapeServer } from './metrics/scrape-server.js';
import { WorkerMetrics } from './metrics/worker-metrics.js';
import { type ChosenModel, chooseModels } from './models/choose-model.js';
import { Library, type LibraryModel } from './models/library.js';
import { MemoryBudget } from './models/memory-budget.js';
import { type MemoryPlan, planMemory } from './models/plan-memory.js';
import { planVectorMemory, type VectorMemoryPlan } from './models/plan-vector-memory.js';
import { WorkerServer } from './serving/worker-server.js';
import { openLlamaCpp } from './token-engine/adapters/llama-cpp/open-llama-cpp.js';
import { openLlamaCppVectors, vectorBatchSize } from './token-engine/adapters/llama-cpp/open-llama-cpp-vectors.js';
import { type ModelFile, readModelFile } from './token-engine/adapters/llama-cpp/read-model-file.js';

const MIB = 1024 * 1024;

/** The worker's composition root: settings → model → library → server. It listens first, so that loading can be watched. */
async function run(loaded: LoadedSettings): Promise<void> {
  const { settings } = loaded;
  const logger = createLogger({ name: 'worker', level: settings.logLevel, format: settings.logFormat });
  logger.info({ settings: describeSettings(loaded) }, `Millrace worker ${VERSION} starts.`);

  const scrapes = startMetrics({ serviceName: 'millrace-worker', serviceVersion: VERSION });
  const metrics = new WorkerMetrics();
  const broken = Promise.withResolvers<never>();
  const models = chooseModels(settings, modelsFileOf(settings), process.cwd());
  const openers = new EngineOpeners(settings, models, metrics, logger, (id, error) => {
    library.noteBroken(id);
    broken.reject(new Error('The engine broke and the worker has to start again.', { cause: error }));
  });
  const [chosen, ...others] = models;
  const library = new Library(
    [openers.libraryModel(chosen), ...others.map((model) => openers.libraryModel(model))],
    { onState: () => server.updateHealth(), onLoaded: (durationMs) => metrics.loaded(durationMs) },
    logger,
  );
  const server = new WorkerServer(settings, library, logger);
  metrics.watch({ engineLoad: () => library.engineLoad });

  const stopped = terminationRequested();
  if (settings.workerMetricsPort !== undefined) {
    await openScrapeServer(settings.workerHost, settings.workerMetricsPort, scrapes.answerScrape);
  }
  const port = await server.listen();
  logger.info({ port, host: settings.workerHost }, 'The worker listens for gateways.');
  // Not refused, as it is for the gateway's `host`: in Kubernetes a worker must listen on all addresses.
  if (!isLoopback(settings.workerHost)) {
    logger.warn(
      { port, host: settings.workerHost },
      'Anyone who reaches this port can use the engine: keep it to a trusted network.',
    );
  }
  await tellParent({ kind: 'listening', port });

  await Promise.race([library.load(), stopped]);
  const why = await Promise.race([stopped, broken.promise]);

  logger.info({ why, timeoutMs: settings.drainTimeoutMs }, 'The worker drains.');
  await server.drain(settings.drainTimeoutMs);
  await server.close();
  await library.close();
  await scrapes.close();
  logger.info('The worker has stopped.');
}

/** Not read when `model` names a file and there is no such list: one's own model needs none. */
function modelsFileOf({ model, modelsFile }: Settings): ReturnType<typeof readModelsFile> | undefined {
  const path = resolve(modelsFile);
  if (model !== undefined && namesFile(model) && !existsSync(path)) return undefined;
  return readModelsFile(path);
}

/** Opens each model with the engine that its file was made for, within the memory that all of them share. */
class EngineOpeners {
  readonly #budget: MemoryBudget;
  readonly #threads: number;

  constructor(
    private readonly settings: Settings,
    private readonly models: readonly ChosenModel[],
    private readonly metrics: WorkerMetrics,
    private readonly logger: Logger,
    private readonly onBroken: (id: string, error: unknown) => void,
  ) {
    this.#budget = new MemoryBudget(machineMemory(), settings.memoryReserveMib * MIB);
    this.#threads = settings.threads ?? Math.max(1, availableParallelism() - 1);
  }

  libraryModel(model: ChosenModel): LibraryModel {
    const { id, aliases } = model;
    return {
      id,
      aliases,
      open: async (report, signal) => {
        report(`The model ${id} is being looked at.`);
        const file = await readModelFile(model.path);
        const opening = { model, file, report, signal };
        return file.purpose === 'text' ? this.#openText(opening) : this.#openVectors(opening);
      },
    };
  }

  async #openText({ model, file, report, signal }: Opening): Promise<Engine> {
    const { settings, metrics, logger } = this;
    const plan = await this.#planText(model, file);
    if (!plan.fits) throw new Error(plan.sentence);
    logger.info({ model: model.id, path: model.path }, plan.sentence);
    const tokenEngine = await openLlamaCpp({
      ...this.#loading(model, report, signal),
      contextLength: plan.contextLength,
      placesMax: settings.maxBatchSize,
      tokensPerStepMax: tokensPerStepMax(settings),
    });
    this.#budget.take(bytesOf(plan));
    return new BatchingEngine(tokenEngine, {
      model: {
        ...described(model, file),
        capabilities: ['chat', 'completion'],
        samplingDefaults: model.sampling,
        maxTokensDefault: model.maxTokens,
      },
      chatTemplate: model.chatTemplate,
      samplingDefaults: model.sampling,
      maxTokensDefault: model.maxTokens,
      limits: settings,
      observer: metrics,
      logger,
      onBroken: (error) => this.onBroken(model.id, error),
    });
  }

  async #openVectors({ model, file, report, signal }: Opening): Promise<Engine> {
    const { settings, logger } = this;
    const plan = vectorPlan(model, file, settings, this.#budget.availableBytes, this.#budget.reserveBytes);
    if (!plan.fits) throw new Error(plan.sentence);
    logger.info({ model: model.id, path: model.path }, plan.sentence);
    const vectors = await openLlamaCppVectors({
      ...this.#loading(model, report, signal),
      contextLength: plan.contextLength,
      contexts: settings.embeddingContexts,
    });
    this.#budget.take(plan.bytes);
    return new EmbeddingEngine(vectors, {
      model: { ...described(model, file), samplingDefaults: {} },
      limits: settings,
      observer: this.metrics.embedding,
    });
  }

  /** Leaves room for the models that come after, unless the model fits only without it. */
  async #planText(model: ChosenModel, file: ModelFile): Promise<MemoryPlan> {
    const { availableBytes, reserveBytes } = this.#budget;
    const room = await this.#roomForOthers(model);
    const plan = textPlan(model, file, this.settings, availableBytes, reserveBytes + room);
    return plan.fits || room === 0 ? plan : textPlan(model, file, this.settings, availableBytes, reserveBytes);
  }

  /** What the models behind `model` will need, in bytes. One that can't be read now needs nothing: it won't open. */
  async #roomForOthers(model: ChosenModel): Promise<number> {
    const behind = this.models.slice(this.models.indexOf(model) + 1);
    const needs = behind.map(async (other) => {
      const file = await readModelFile(other.path);
      // Of a model that takes what context there is, as little as it would be content with.
      const modest = { ...other, context: other.context ?? Math.min(file.contextTrained, MODEST_CONTEXT_TOKENS) };
      const plan =
        file.purpose === 'text'
          ? textPlan(modest, file, this.settings, Number.MAX_SAFE_INTEGER, 0)
          : vectorPlan(other, file, this.settings, Number.MAX_SAFE_INTEGER, 0);
      return bytesOf(plan);
    });
    const settled = await Promise.allSettled(needs);
    return settled.reduce((sum, need) => sum + (need.status === 'fulfilled' ? need.value : 0), 0);
  }

  #loading(model: ChosenModel, report: Opening['report'], signal: AbortSignal) {
    const { gpu, gpuLayers } = this.settings;
    return {
      path: model.path,
      threads: this.#threads,
      gpu,
      gpuLayers,
      logger: engineLogger(this.logger),
      onProgress: (part: number) =>
        report(
          part < 1
            ? `The model ${model.id} is being loaded: ${Math.floor(part * 100)} %.`
            : `The model ${model.id} is loaded; memory to compute in is being reserved.`,
        ),
      signal,
    };
  }
}

interface Opening {
  readonly model: ChosenModel;
  readonly file: ModelFile;
  readonly report: (detail: string) => void;
  readonly signal: AbortSignal;
}

/** What is left for a model beside the chosen one that would take any context. */
const MODEST_CONTEXT_TOKENS = 512;

function tokensPerStepMax({ maxBatchSize, prefillChunkTokens }: Settings): number {
  return maxBatchSize + prefillChunkTokens;
}

function described({ id, aliases, isDefault }: ChosenModel, file: ModelFile) {
  return { id, aliases, isDefault, created: file.changedAt };
}

function textPlan(
  { context }: ChosenModel,
  model: ModelFile,
  settings: Settings,
  availableBytes: number,
  reserveBytes: number,
): MemoryPlan {
  const { maxBatchSize: sequences } = settings;
  return planMemory({
    model,
    sequences,
    context,
    tokensPerStepMax: tokensPerStepMax(settings),
    availableBytes,
    reserveBytes,
  });
}

function vectorPlan(
  { context }: ChosenModel,
  model: ModelFile,
  { embeddingContexts: contexts }: Settings,
  availableBytes: number,
  reserveBytes: number,
): VectorMemoryPlan {
  return planVectorMemory({
    model,
    contexts,
    context,
    batchSize: (contextLength) => vectorBatchSize(model, contextLength),
    keepsCache: model.causal,
    availableBytes,
    reserveBytes,
  });
}

function bytesOf(plan: MemoryPlan | VectorMemoryPlan): number {
  if (!plan.fits) return 0;
  return 'bytes' in plan ? plan.bytes : plan.weightsBytes + plan.cacheBytes + plan.computeBytes;
}

/** llama.cpp says much at `info` that only matters when something is wrong. */
function engineLogger(logger: Logger): Parameters<typeof openLlamaCpp>[0]['logger'] {
  const engine = logger.child({ from: 'llama.cpp' });
  return {
    debug: (message) => engine.debug(message),
    info: (message) => engine.debug(message),
    warn: (message) => engine.warn(message),
    error: (message) => engine.error(message),
  };
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
