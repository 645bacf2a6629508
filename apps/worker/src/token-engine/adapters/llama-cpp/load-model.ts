import { setTimeout as sleep } from 'node:timers/promises';
import { InsufficientMemoryError, type Llama, type LlamaModel, type LlamaModelOptions } from 'node-llama-cpp';
import { type Addon, type AddonModel, addonModelOf, addonOf } from './addon.js';
import type { KvCacheOptions } from './kv-cache.js';
import { type EngineLogger, type GpuChoice, llamaFor } from './llama-instance.js';
import type { ModelFile } from './read-model-file.js';

const LOG_DELAY_MS = 50;

/** What a model is loaded with, whatever it is made for. */
export interface LoadOptions {
  /** The `.gguf` file; of a model in parts, the first. */
  readonly path: string;
  readonly gpu: GpuChoice;
  /** Layers that go to the GPU; absent: as many as fit. */
  readonly gpuLayers?: number | undefined;
  readonly logger: EngineLogger;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress?: ((loaded: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What must fit beside the weights. */
export interface ContextNeeds {
  /** Tokens of all contexts together, for which memory of the GPU is left. */
  readonly contextSize: number;
  /** Whether they are contexts for vectors. */
  readonly embeddingContext: boolean;
  /** Of which type their cache is. Absent: as llama.cpp has it by default. */
  readonly kvCache?: KvCacheOptions | undefined;
  /** What to say when the memory is refused. */
  readonly refusal: string;
}

export interface LoadedModel {
  readonly llama: Llama;
  readonly addon: Addon;
  /** To be disposed by whoever got it. */
  readonly loaded: LlamaModel;
  /** The addon's model beneath `loaded`. */
  readonly model: AddonModel;
  /** Such as `llama.cpp v0.5.0`. */
  readonly engine: string;
  /** The first errors of llama.cpp's log since then, also of what is done with the model next. */
  readonly complaints: readonly string[];
}

/**
 * Loads the weights of a model.
 *
 * @throws Error in one sentence, for the person who started the worker: the file is broken or of an unknown architecture;
 *   the memory is refused; the GPU that was asked for is not there.
 */
export async function loadModel(file: ModelFile, options: LoadOptions, needs: ContextNeeds): Promise<LoadedModel> {
  const complaints: string[] = [];
  const llama = await llamaFor(options.gpu, withComplaints(options.logger, complaints));
  const engine = `llama.cpp ${llama.llamaCppRelease.release}`;
  const addon = await addonOf(llama);
  if (!addon.getIsArchSupported(file.architecture)) {
    throw new Error(
      `${options.path} is of the architecture "${file.architecture}", which ${engine} does not know. ` +
        'Choose another model, or a newer version of this server.',
    );
  }
  options.signal?.throwIfAborted();
  const loaded = await loadWeights(llama, options, needs, complaints);
  try {
    return { llama, addon, loaded, model: await addonModelOf(loaded), engine, complaints };
  } catch (error) {
    await loaded.dispose();
    throw error;
  }
}

/** llama.cpp says why it failed only in its log, so its errors are also kept for the message. */
export function withComplaints(logger: EngineLogger, complaints: string[]): EngineLogger {
  return {
    debug: (message) => logger.debug(message),
    info: (message) => logger.info(message),
    warn: (message) => logger.warn(message),
    error: (message) => {
      if (complaints.length < 8) complaints.push(message);
      logger.error(message);
    },
  };
}

/** The log lines come from another thread, a little later than the failure. */
export async function heardSoon(find: () => string | undefined): Promise<string | undefined> {
  await sleep(LOG_DELAY_MS);
  return find()?.replace(/\.$/, '');
}

async function loadWeights(
  llama: Llama,
  { path, gpuLayers, onProgress, signal }: LoadOptions,
  { contextSize, embeddingContext, kvCache, refusal }: ContextNeeds,
  complaints: readonly string[],
): Promise<LlamaModel> {
  const fitContext: LlamaModelOptions['gpuLayers'] = { fitContext: { contextSize, embeddingContext } };
  try {
    return await llama.loadModel({
      modelPath: path,
      gpuLayers: gpuLayers ?? fitContext,
      // For how much of the GPU's memory the contexts will take.
      ...(kvCache && {
        experimentalDefaultContextKvCacheKeyType: kvCache.kvCacheKeyType,
        experimentalDefaultContextKvCacheValueType: kvCache.kvCacheValueType,
        defaultContextFlashAttention: kvCache.flashAttention,
      }),
      ...(onProgress && { onLoadProgress: onProgress }),
      ...(signal && { loadSignal: signal }),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    if (cause instanceof InsufficientMemoryError) throw new Error(refusal, { cause });
    const why = (await heardSoon(() => complaints.at(0))) ?? String(cause);
    if (why.includes('not within the file bounds'))
      throw new Error(`${path} ends too early. Copy it again.`, { cause });
    throw new Error(`llama.cpp can't load ${path}: ${why}`, { cause });
  }
}
