import type { KvCacheType } from '@millrace/contracts';
import type { Llama } from 'node-llama-cpp';
import type { TokenEngine, TokenModel } from '../../token-engine.js';
import type { AddonContext, AddonModel } from './addon.js';
import { kvCacheComplaint, kvCacheOptions, kvCacheRefusal, kvCacheTypeOn } from './kv-cache.js';
import { LlamaCppTokenEngine } from './llama-cpp-token-engine.js';
import { llamaFor } from './llama-instance.js';
import { heardSoon, type LoadedModel, type LoadOptions, loadModel } from './load-model.js';
import { type LoraAdapter, loadLoras } from './lora-adapters.js';
import { type ModelFile, readModelFile } from './read-model-file.js';

export interface LlamaCppOptions extends LoadOptions {
  /** Tokens that a place holds. */
  readonly contextLength: number;
  readonly placesMax: number;
  readonly tokensPerStepMax: number;
  readonly threads: number;
  /** Adapters that are applied to every answer. Absent: none. */
  readonly lora?: readonly LoraAdapter[] | undefined;
  /** Absent: `f16`. */
  readonly kvCacheType?: KvCacheType | undefined;
}

/** llama.cpp reserves a sequence's cache in pieces of so many tokens. */
const CACHE_PIECE_TOKENS = 256;

/** What a copy costs besides the bytes: a turn of the event loop, and a share of the next step. */
const COPY_COST_TOKENS_MIN = 8;

/**
 * Loads a model and reserves the memory of its places.
 *
 * @throws Error in one sentence, for the person who started the worker: the file is missing, broken or of an unknown
 *   architecture; the memory is refused; the GPU that was asked for is not there; an adapter can't be used;
 *   its heads can't be kept in a cache of the type that was asked for.
 */
export async function openLlamaCpp(asked: LlamaCppOptions): Promise<TokenEngine> {
  const { file, options } = await withKvCache(asked);
  const { contextLength, placesMax, kvCacheType } = options;
  const opened = await loadModel(file, options, {
    contextSize: contextLength * placesMax,
    embeddingContext: false,
    kvCache: kvCacheOptions(kvCacheType),
    refusal: memoryRefused(options),
  });
  const { addon, loaded, model } = opened;
  try {
    const { lora = [], gpu, logger } = options;
    const loras = await loadLoras(lora, { addon, model, file, gpu, logger });
    const context = await openContext(opened, file, options);
    if (loras.length > 0) {
      const scales = lora.map(({ scale }) => scale);
      context.setLoras(loras, scales);
    }
    // Recurrent models, wholly or in part, keep one state per sequence and not one per token.
    const cutsAnywhere = !addon.getIsArchRecurrent(file.architecture) && !addon.getIsArchHybrid(file.architecture);
    const description = { ...describe(opened, file, options), cutsAnywhere };
    return new LlamaCppTokenEngine(description, { loaded, addon, model, context });
  } catch (error) {
    await loaded.dispose();
    throw error;
  }
}

type Options = LlamaCppOptions & { readonly kvCacheType: KvCacheType };

/** Settles what type the cache has, which depends on where the model is computed. */
async function withKvCache(options: LlamaCppOptions): Promise<{ readonly file: ModelFile; readonly options: Options }> {
  const { path, gpu, logger, kvCacheType: asked = 'f16' } = options;
  const file = await readModelFile(path, asked);
  if (asked === 'f16') return { file, options: { ...options, kvCacheType: asked } };
  const refusal = kvCacheRefusal(asked, file);
  if (refusal !== undefined) throw new Error(refusal);
  const kvCacheType = kvCacheTypeOn((await llamaFor(gpu, logger)).gpu !== false, asked, file);
  if (kvCacheType === asked) return { file, options: { ...options, kvCacheType } };
  logger.info(
    `${path} has heads of ${file.headLength} numbers, which a GPU computes from a cache of ${kvCacheType} only.`,
  );
  return { file: await readModelFile(path, kvCacheType), options: { ...options, kvCacheType } };
}

async function openContext(
  { addon, model, complaints }: LoadedModel,
  file: ModelFile,
  options: Options,
): Promise<AddonContext> {
  const { path, contextLength, placesMax, tokensPerStepMax, threads, kvCacheType } = options;
  const context = new addon.AddonContext(model, {
    contextSize: cacheTokens(contextLength) * placesMax,
    batchSize: tokensPerStepMax,
    sequences: placesMax,
    threads,
    ...kvCacheOptions(kvCacheType),
    swaFullCache: true,
  });
  if (await context.init()) return context;
  await context.dispose();
  const complaint = kvCacheType === 'f16' ? undefined : await heardSoon(() => kvCacheComplaint(complaints));
  if (complaint === undefined) throw new Error(memoryRefused(options, file));
  throw new Error(`${path} can't have a cache of type ${kvCacheType}: ${complaint}. Take \`kvCacheType\` out.`);
}

/**
 * What llama.cpp's flash attention on a CPU reads at a time; fewer tokens it reads one by one, which with heads shorter
 * than 64 numbers costs more than reading as many (docs/concepts/engine.md). From a quantized cache it reads all one by one.
 */
const TILE_TOKENS = 64;
const TILE_HEAD_LENGTH = 64;

function tileTokensOf(llama: Llama, { headLength }: ModelFile, { kvCacheType }: Options): number | undefined {
  const hasTiles = llama.gpu === false && kvCacheType === 'f16';
  return hasTiles && headLength < TILE_HEAD_LENGTH ? TILE_TOKENS : undefined;
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
  { llama, model, engine }: LoadedModel,
  file: ModelFile,
  options: Options,
): Omit<TokenModel, 'cutsAnywhere'> {
  return {
    contextLength: options.contextLength,
    placesMax: options.placesMax,
    tokensPerStepMax: options.tokensPerStepMax,
    vocabularySize: file.vocabularySize,
    tileTokens: tileTokensOf(llama, file, options),
    copyCostTokens: copyCostTokens(file, options),
    infill: infillOf(model),
    chatTemplate: file.chatTemplate,
    namedTemplates: file.namedTemplates,
    beginningText: textOf(model, model.tokenBos()),
    endText: textOf(model, model.tokenEos()),
    engine,
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
