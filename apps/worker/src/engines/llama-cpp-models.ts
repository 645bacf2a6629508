import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Engine, InferenceError, type ModelDescription, type Settings } from '@millrace/contracts';
import { ggufParts, type Logger } from '@millrace/runtime';
import { BatchingEngine } from '../batching/batching-engine.js';
import { EmbeddingEngine } from '../embedding/embedding-engine.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import type { ChosenModel, LlamaCppModel } from '../models/choose-model.js';
import type { LibraryModel, LookedAt, ModelTrial, OpenTerms } from '../models/library-model.js';
import type { MemoryBudget } from '../models/memory-budget.js';
import { refuseDamagedFile } from '../models/refuse-damaged-file.js';
import { TrialMemory } from '../models/trial-memory.js';
import { Trials } from '../models/trials.js';
import { openChatModel } from '../prompt/open-chat-model.js';
import type { PromptWork } from '../prompt/process/prompt-work.js';
import { type EngineLogger, llamaFor } from '../token-engine/adapters/llama-cpp/llama-instance.js';
import { openLlamaCpp } from '../token-engine/adapters/llama-cpp/open-llama-cpp.js';
import { openLlamaCppVectors } from '../token-engine/adapters/llama-cpp/open-llama-cpp-vectors.js';
import { type ModelFile, readModelFile } from '../token-engine/adapters/llama-cpp/read-model-file.js';
import { forkTrial } from './fork-trial.js';
import { type LlamaCppPlan, LlamaCppPlans } from './llama-cpp-plans.js';
import { variantOf } from './llama-cpp-variant.js';
import { llamaCppVersion } from './llama-cpp-version.js';
import { stampOf } from './stamp-of.js';
import { tokensPerStepMax } from './tokens-per-step.js';

export interface LlamaCppOptions {
  readonly settings: Settings;
  readonly models: readonly ChosenModel[];
  readonly budget: MemoryBudget;
  readonly threads: number;
  readonly prompts: PromptWork;
  readonly metrics: WorkerMetrics;
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

/** What a trial takes beside the weights: a small context, and what computes in it. */
const TRIAL_BYTES = 128 * 1024 * 1024;

/** Models that llama.cpp computes, in this process. */
export class LlamaCppModels {
  readonly #plans: LlamaCppPlans;
  readonly #trials: Trials;
  readonly #version = llamaCppVersion();

  constructor(private readonly options: LlamaCppOptions) {
    const { settings, models, budget, logger } = options;
    this.#plans = new LlamaCppPlans(models, budget, settings, (model) => readFiles(model));
    this.#trials = new Trials(new TrialMemory(settings.cacheFolder, logger));
  }

  libraryModel(model: LlamaCppModel): LibraryModel {
    const { id, aliases, isDefault, loadsAtStart, idleUnloadMs } = model;
    return {
      id,
      aliases,
      isDefault,
      loadsAtStart,
      idleUnloadMs,
      isElsewhere: false,
      stamp: () => stampOf(filesOf(model)),
      look: () => this.#look(model),
    };
  }

  async #look(model: LlamaCppModel): Promise<LookedAt> {
    for (const path of filesOf(model)) await refuseDamagedFile(path);
    const file = await readFiles(model);
    if (file.purpose !== 'text' && model.lora.length > 0) {
      throw new Error(`${model.path} generates no text, and adapters are for models that do. Take \`lora\` out.`);
    }
    if (file.purpose !== 'text' && model.kvCacheType !== 'f16') {
      throw new Error(`${model.path} generates no text, and \`kvCacheType\` is for models that do. Take it out.`);
    }
    const plan = await this.#plans.planFor(model, file);
    return {
      description: described(model, file, plan),
      bytes: plan.bytes,
      trial: this.options.settings.trialLoad ? this.#trial(model, file, plan) : undefined,
      open: (terms) =>
        file.purpose === 'text'
          ? this.#openText(model, file, plan, terms)
          : this.#openVectors(model, file, plan, terms),
    };
  }

  #trial(model: LlamaCppModel, file: ModelFiles, plan: LlamaCppPlan): ModelTrial {
    const { settings, threads, environment, logger } = this.options;
    const { gpu, gpuLayers, trialTimeoutMs: timeoutMs } = settings;
    const { path, lora, kvCacheType } = model;
    const request = { path, lora, kvCacheType, gpu, gpuLayers, threads };
    return {
      bytes: Math.min(plan.bytes, file.weightsBytes + TRIAL_BYTES),
      run: async (report, signal) => {
        const subject = {
          id: model.id,
          files: filesOf(model),
          with: [this.#version, gpu, String(gpuLayers), kvCacheType, ...lora.map(({ scale }) => String(scale))],
        };
        const run = (stop: AbortSignal) => {
          // Opening the library takes as long as starting the process. What is wrong with it is said when it is used.
          llamaFor(gpu, engineLogger(logger)).catch(() => undefined);
          return forkTrial(model.id, request, { timeoutMs, environment }, stop);
        };
        await this.#trials.pass(subject, run, report, signal);
      },
    };
  }

  async #openText(model: LlamaCppModel, file: ModelFiles, plan: LlamaCppPlan, terms: OpenTerms): Promise<Engine> {
    const { settings, metrics, logger, prompts: work } = this.options;
    const { id, path, chatTemplate, lora, kvCacheType } = model;
    const { sampling: samplingDefaults, maxTokens: maxTokensDefault } = model;
    logger.info({ model: id, path }, plan.sentence);
    const tokenEngine = await openLlamaCpp({
      ...this.#loading(model, terms),
      lora,
      kvCacheType,
      contextLength: plan.contextLength,
      placesMax: settings.maxBatchSize,
      tokensPerStepMax: tokensPerStepMax(settings),
    });
    try {
      const { chatTemplate: ownTemplate, namedTemplates, beginningText, endText } = tokenEngine.model;
      const templates = {
        defaultTemplate: chatTemplate ?? ownTemplate,
        namedTemplates: chatTemplate === undefined ? namedTemplates : {},
        beginningText,
        endText,
      };
      const chat = await openChatModel({ ...templates, work }, terms.signal);
      return new BatchingEngine(tokenEngine, {
        model: described(model, file, plan),
        variant: file.variant,
        chat,
        samplingDefaults,
        maxTokensDefault,
        limits: settings,
        observer: metrics.of(id).begins(),
        logger,
        onBroken: (error) => terms.onBroken(error, isOurs(error)),
      });
    } catch (error) {
      await tokenEngine.close();
      throw error;
    }
  }

  async #openVectors(model: LlamaCppModel, file: ModelFiles, plan: LlamaCppPlan, terms: OpenTerms): Promise<Engine> {
    const { settings, metrics, logger } = this.options;
    logger.info({ model: model.id, path: model.path }, plan.sentence);
    const vectors = await openLlamaCppVectors({
      ...this.#loading(model, terms),
      contextLength: plan.contextLength,
      contexts: settings.embeddingContexts,
    });
    return new EmbeddingEngine(vectors, {
      model: described(model, file, plan),
      limits: settings,
      observer: metrics.of(model.id).embedding,
    });
  }

  #loading({ id, path }: LlamaCppModel, { report, signal }: OpenTerms) {
    const { settings, threads, logger } = this.options;
    const { gpu, gpuLayers } = settings;
    return {
      path,
      threads,
      gpu,
      gpuLayers,
      logger: engineLogger(logger),
      onProgress: (part: number) =>
        report(
          part < 1
            ? `The model ${id} is being loaded: ${Math.floor(part * 100)} %.`
            : `The model ${id} is loaded; memory to compute in is being reserved.`,
        ),
      signal,
    };
  }
}

/** All that is loaded: the model in its parts, and its adapters. */
function filesOf({ path, lora }: LlamaCppModel): readonly string[] {
  return [...ggufParts(path), ...lora.map((adapter) => adapter.path)];
}

interface ModelFiles extends ModelFile {
  /** As `variantOf` says it. */
  readonly variant: string;
}

/** The weights of adapters stand beside those of the model. */
async function readFiles(model: LlamaCppModel): Promise<ModelFiles> {
  const file = await readModelFile(model.path, model.kvCacheType);
  const adapters = await Promise.all(
    model.lora.map(async ({ path, scale }) => {
      const { size, mtimeMs } = await stat(path);
      return { name: basename(path), scale, size, changedAt: Math.floor(mtimeMs / 1_000) };
    }),
  );
  return {
    ...file,
    weightsBytes: adapters.reduce((sum, { size }) => sum + size, file.weightsBytes),
    variant: variantOf(model, adapters),
  };
}

/** As the engine will say it, but for its version. */
function described(model: LlamaCppModel, file: ModelFiles, { contextLength }: LlamaCppPlan): ModelDescription {
  const { id, aliases, isDefault, sampling, maxTokens } = model;
  const known = { id, aliases, isDefault, created: file.changedAt, engine: `llama.cpp${file.variant}`, contextLength };
  switch (file.purpose) {
    case 'text':
      return {
        ...known,
        capabilities: ['chat', 'completion'],
        samplingDefaults: sampling,
        maxTokensDefault: maxTokens,
      };
    case 'vectors':
      return {
        ...known,
        capabilities: ['embedding', 'rerank'],
        samplingDefaults: {},
        embeddingLength: file.embeddingLength,
      };
    case 'scores':
      return { ...known, capabilities: ['rerank'], samplingDefaults: {} };
  }
}

/**
 * Whether an error comes from our own code, so that the engine beneath it is sound. What llama.cpp itself gives up on
 * may have left anything behind in the process.
 */
function isOurs(error: unknown): boolean {
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError ||
    error instanceof InferenceError
  );
}

/** llama.cpp says much at `info` that only matters when something is wrong. */
function engineLogger(logger: Logger): EngineLogger {
  const engine = logger.child({ from: 'llama.cpp' });
  return {
    debug: (message) => engine.debug(message),
    info: (message) => engine.debug(message),
    warn: (message) => engine.warn(message),
    error: (message) => engine.error(message),
  };
}
