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
import { openScrapeServer } from './metrics/scrape-server.js';
import { WorkerMetrics } from './metrics/worker-metrics.js';
import { type ChosenModel, chooseModel } from './models/choose-model.js';
import { Library, type OpenEngine } from './models/library.js';
import { planMemory } from './models/plan-memory.js';
import { WorkerServer } from './serving/worker-server.js';
import { openLlamaCpp } from './token-engine/adapters/llama-cpp/open-llama-cpp.js';
import { readModelFile } from './token-engine/adapters/llama-cpp/read-model-file.js';

const MIB = 1024 * 1024;

/** The worker's composition root: settings → model → library → server. It listens first, so that loading can be watched. */
async function run(loaded: LoadedSettings): Promise<void> {
  const { settings } = loaded;
  const logger = createLogger({ name: 'worker', level: settings.logLevel, format: settings.logFormat });
  logger.info({ settings: describeSettings(loaded) }, `Millrace worker ${VERSION} starts.`);

  const scrapes = startMetrics({ serviceName: 'millrace-worker', serviceVersion: VERSION });
  const metrics = new WorkerMetrics();
  const broken = Promise.withResolvers<never>();
  const model = chooseModel(settings, modelsFileOf(settings), process.cwd());
  const open = engineOpener(model, settings, metrics, logger, (error) => {
    library.noteBroken();
    broken.reject(new Error('The engine broke and the worker has to start again.', { cause: error }));
  });
  const library = new Library(
    model.id,
    open,
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

function engineOpener(
  model: ChosenModel,
  settings: Settings,
  metrics: WorkerMetrics,
  logger: Logger,
  onBroken: (error: unknown) => void,
): OpenEngine {
  return async (report, signal): Promise<Engine> => {
    report(`The model ${model.id} is being looked at.`);
    const file = await readModelFile(model.path);
    const tokensPerStepMax = settings.maxBatchSize + settings.prefillChunkTokens;
    const plan = planMemory({
      model: file,
      sequences: settings.maxBatchSize,
      context: model.context,
      tokensPerStepMax,
      availableBytes: machineMemory(),
      reserveBytes: settings.memoryReserveMib * MIB,
    });
    if (!plan.fits) throw new Error(plan.sentence);
    logger.info({ model: model.id, path: model.path }, plan.sentence);

    const tokenEngine = await openLlamaCpp({
      path: model.path,
      contextLength: plan.contextLength,
      placesMax: settings.maxBatchSize,
      tokensPerStepMax,
      threads: settings.threads ?? Math.max(1, availableParallelism() - 1),
      gpu: settings.gpu,
      gpuLayers: settings.gpuLayers,
      logger: engineLogger(logger),
      onProgress: (part) =>
        report(
          part < 1
            ? `The model ${model.id} is being loaded: ${Math.floor(part * 100)} %.`
            : `The model ${model.id} is loaded; memory for its sequences is being reserved.`,
        ),
      signal,
    });
    return new BatchingEngine(tokenEngine, {
      model: {
        id: model.id,
        aliases: model.aliases,
        capabilities: ['chat', 'completion'],
        created: file.changedAt,
        samplingDefaults: model.sampling,
        maxTokensDefault: model.maxTokens,
        isDefault: true,
      },
      chatTemplate: model.chatTemplate,
      samplingDefaults: model.sampling,
      maxTokensDefault: model.maxTokens,
      limits: settings,
      observer: metrics,
      logger,
      onBroken,
    });
  };
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
