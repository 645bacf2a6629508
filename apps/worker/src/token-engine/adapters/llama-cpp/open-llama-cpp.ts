import { setTimeout as sleep } from 'node:timers/promises';
import { InsufficientMemoryError, type Llama, type LlamaModel } from 'node-llama-cpp';
import type { TokenEngine, TokenModel } from '../../token-engine.js';
import { type Addon, type AddonContext, type AddonModel, addonModelOf, addonOf } from './addon.js';
import { LlamaCppTokenEngine } from './llama-cpp-token-engine.js';
import { type EngineLogger, type GpuChoice, llamaFor } from './llama-instance.js';
import { type ModelFile, readModelFile } from './read-model-file.js';

export interface LlamaCppOptions {
  /** The `.gguf` file; of a model in parts, the first. */
  readonly path: string;
  /** Tokens that a place holds. */
  readonly contextLength: number;
  readonly placesMax: number;
  readonly tokensPerStepMax: number;
  readonly threads: number;
  readonly gpu: GpuChoice;
  /** Layers that go to the GPU; absent: as many as fit. */
  readonly gpuLayers?: number | undefined;
  readonly logger: EngineLogger;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress?: ((loaded: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** llama.cpp reserves a sequence's cache in pieces of so many tokens. */
const CACHE_PIECE_TOKENS = 256;

/** What a copy costs besides the bytes: a turn of the event loop, and a share of the next step. */
const COPY_COST_TOKENS_MIN = 8;

/**
 * Loads a model and reserves the memory of its places.
 *
 * @throws Error in one sentence, for the person who started the worker: the file is missing, broken or of an unknown
 *   architecture; the memory is refused; the GPU that was asked for is not there.
 */
export async function openLlamaCpp(options: LlamaCppOptions): Promise<TokenEngine> {
  const file = await readModelFile(options.path);
  const complaints: string[] = [];
  const llama = await llamaFor(options.gpu, withComplaints(options.logger, complaints));
  const addon = await addonOf(llama);
  if (!addon.getIsArchSupported(file.architecture)) {
    throw new Error(
      `${options.path} is of the architecture "${file.architecture}", which ${engineName(llama)} does not know. ` +
        'Choose another model, or a newer version of this server.',
    );
  }
  options.signal?.throwIfAborted();
  const loaded = await load(llama, options, complaints);
  try {
    const model = await addonModelOf(loaded);
    const context = await openContext(llama, addon, model, file, options);
    // Recurrent models, wholly or in part, keep one state per sequence and not one per token.
    const cutsAnywhere = !addon.getIsArchRecurrent(file.architecture) && !addon.getIsArchHybrid(file.architecture);
    const description = { ...describe(llama, model, file, options), cutsAnywhere };
    return new LlamaCppTokenEngine(description, { loaded, addon, model, context });
  } catch (error) {
    await loaded.dispose();
    throw error;
  }
}

/** llama.cpp says why it failed only in its log, so its errors are also kept for the message. */
function withComplaints(logger: EngineLogger, complaints: string[]): EngineLogger {
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

async function load(llama: Llama, options: LlamaCppOptions, complaints: readonly string[]): Promise<LlamaModel> {
  const { path, contextLength, placesMax, gpuLayers, onProgress, signal } = options;
  try {
    return await llama.loadModel({
      modelPath: path,
      gpuLayers: gpuLayers ?? { fitContext: { contextSize: contextLength * placesMax } },
      ...(onProgress && { onLoadProgress: onProgress }),
      ...(signal && { loadSignal: signal }),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    if (cause instanceof InsufficientMemoryError) throw new Error(memoryRefused(options), { cause });
    await sleep(50); // The log lines come from another thread, a little later than the failure.
    const why = complaints.at(0) ?? String(cause);
    if (why.includes('not within the file bounds'))
      throw new Error(`${path} ends too early. Copy it again.`, { cause });
    throw new Error(`llama.cpp can't load ${path}: ${why}`, { cause });
  }
}

async function openContext(
  llama: Llama,
  addon: Addon,
  model: AddonModel,
  file: ModelFile,
  options: LlamaCppOptions,
): Promise<AddonContext> {
  const { contextLength, placesMax, tokensPerStepMax, threads } = options;
  const context = new addon.AddonContext(model, {
    contextSize: cacheTokens(contextLength) * placesMax,
    batchSize: tokensPerStepMax,
    sequences: placesMax,
    threads,
    flashAttention: flashes(llama, file) && 'auto',
    swaFullCache: true,
  });
  if (await context.init()) return context;
  await context.dispose();
  throw new Error(memoryRefused(options, file));
}

/**
 * Whether llama.cpp's flash attention is worth while. On a CPU and with heads shorter than this it is not: a token behind
 * 1,800 others took the built-in model, whose heads have 32 numbers, 8 ms with it and less than 1 ms without, though
 * prompts were read in two thirds of the time (docs/concepts/engine.md). With heads of 64 both ways decode alike.
 */
export const FLASH_HEAD_LENGTH_MIN = 64;

function flashes(llama: Llama, { headLength }: ModelFile): boolean {
  return llama.gpu !== false || headLength >= FLASH_HEAD_LENGTH_MIN;
}

/** What llama.cpp reserves for a place. */
function cacheTokens(contextLength: number): number {
  return Math.ceil(contextLength / CACHE_PIECE_TOKENS) * CACHE_PIECE_TOKENS;
}

function memoryRefused({ contextLength, placesMax, path }: LlamaCppOptions, file?: ModelFile): string {
  const cache = file && ` (${mebibytes(contextLength * placesMax * file.cacheBytesPerToken)} MiB)`;
  return (
    `The machine refuses the memory for ${path} with ${placesMax} sequences of ${contextLength} tokens${cache ?? ''}. ` +
    'Lower --context or --max-batch-size, or choose a smaller model.'
  );
}

function mebibytes(bytes: number): string {
  return Math.ceil(bytes / 1024 / 1024).toLocaleString('en');
}

function describe(
  llama: Llama,
  model: AddonModel,
  file: ModelFile,
  options: LlamaCppOptions,
): Omit<TokenModel, 'cutsAnywhere'> {
  return {
    contextLength: options.contextLength,
    placesMax: options.placesMax,
    tokensPerStepMax: options.tokensPerStepMax,
    vocabularySize: file.vocabularySize,
    copyCostTokens: copyCostTokens(file, options),
    infill: infillOf(model),
    chatTemplate: file.chatTemplate,
    beginningText: textOf(model, model.tokenBos()),
    endText: textOf(model, model.tokenEos()),
    engine: engineName(llama),
  };
}

/**
 * A copy moves all that is reserved for a place, at some 8 GB/s; one token of a prompt takes about two operations per
 * parameter, at some 50 billion per second and thread, and a parameter about one byte. Rough, but the scheduler only
 * asks which is cheaper, and is seldom near the border. docs/concepts/engine.md has what was measured.
 */
function copyCostTokens(file: ModelFile, { contextLength, threads }: LlamaCppOptions): number {
  const copySeconds = (cacheTokens(contextLength) * file.cacheBytesPerToken) / 8e9;
  const tokenSeconds = (2 * file.weightsBytes) / (50e9 * threads);
  return Math.max(COPY_COST_TOKENS_MIN, Math.ceil(copySeconds / tokenSeconds));
}

function infillOf(model: AddonModel): TokenModel['infill'] {
  const tokens = { prefix: model.prefixToken(), suffix: model.suffixToken(), middle: model.middleToken() };
  return Object.values(tokens).every((token) => token >= 0) ? tokens : undefined;
}

function textOf(model: AddonModel, token: number): string {
  return token < 0 ? '' : (model.getTokenString(token) ?? '');
}

function engineName(llama: Llama): string {
  return `llama.cpp ${llama.llamaCppRelease.release}`;
}
