import type { VectorEngine, VectorModel } from '../../vector-engine.js';
import { checkRerankTemplate, pairMarks } from './join-vector-pair.js';
import { LlamaCppVectorEngine, type OpenedVectorModel } from './llama-cpp-vector-engine.js';
import type { EngineLogger } from './llama-instance.js';
import { type LoadOptions, loadModel } from './load-model.js';
import { type ModelFile, Pooling, readModelFile } from './read-model-file.js';
import { TokenBytes } from './token-bytes.js';
import { forVectors, type VectorAddon, type VectorAddonContext, type VectorAddonModel } from './vector-addon.js';

/** The file's `purpose` must be `vectors` or `scores`. */
export interface LlamaCppVectorOptions extends LoadOptions {
  /** Tokens that an input may have. */
  readonly contextLength: number;
  /** Inputs that are computed side by side; each has a context of its own. */
  readonly contexts: number;
  /** Of all contexts together; each has at least one. */
  readonly threads: number;
}

/** llama.cpp makes a context that is a multiple of this. */
const CONTEXT_PIECE_TOKENS = 256;

/** What a model reads at a time that can read in pieces; more would only take more memory. */
const PIECE_TOKENS_MAX = 512;

/** Their graphs end in a softmax (`build_pooling` in llama.cpp's llama-graph.cpp); the others' in a logit. */
const SCORE_AS_PROBABILITY = new Set(['qwen3', 'qwen3vl']);

/**
 * How many tokens of an input a model reads at a time: all, unless a token sees only those before it and the last one
 * stands for the whole.
 */
export function vectorBatchSize(
  file: Pick<ModelFile, 'causal' | 'pooling' | 'purpose'>,
  contextLength: number,
): number {
  const inPieces = file.causal && (file.pooling === Pooling.last || file.purpose === 'scores');
  return inPieces ? Math.min(PIECE_TOKENS_MAX, contextLength) : contextLength;
}

/**
 * Loads a model that makes vectors or scores pairs, and reserves the memory of its contexts.
 *
 * @throws Error in one sentence, for the person who started the worker: the file is missing, broken, of an unknown
 *   architecture or made for something else; the memory is refused; the GPU that was asked for is not there.
 */
export async function openLlamaCppVectors(options: LlamaCppVectorOptions): Promise<VectorEngine> {
  const file = await readModelFile(options.path);
  checkPurpose(file);
  const { contextLength, contexts: contextsMax } = options;
  const { loaded, engine, ...known } = await loadModel(
    file,
    { ...options, logger: withoutFalseAlarm(options.logger) },
    { contextSize: contextLength * contextsMax, embeddingContext: true, refusal: memoryRefused(options) },
  );
  try {
    const { addon, model } = await forVectors(known.addon, known.model);
    const pair = pairOf(file, model);
    const described = describe(model, file, options, engine);
    const batchSize = vectorBatchSize(file, contextLength);
    const contexts = await openContexts(addon, model, file, batchSize, options);
    return new LlamaCppVectorEngine(described, {
      loaded,
      model,
      contexts,
      batchSize,
      bytes: new TokenBytes(model),
      pair,
      scoresProbability: SCORE_AS_PROBABILITY.has(file.architecture),
    });
  } catch (error) {
    await loaded.dispose();
    throw error;
  }
}

/**
 * node-llama-cpp warns of every model that does not give back a text as it was. Those that make vectors seldom do: most
 * of their vocabularies forget case and spaces, as they should.
 */
function withoutFalseAlarm(logger: EngineLogger): EngineLogger {
  return {
    debug: (message) => logger.debug(message),
    info: (message) => logger.info(message),
    warn: (message) =>
      message.includes('to tokenize text and then detokenize it') ? logger.debug(message) : logger.warn(message),
    error: (message) => logger.error(message),
  };
}

function checkPurpose({ purpose, pooling, path }: ModelFile): void {
  if (purpose === 'text') throw new Error(`${path} is made to generate text, and not for vectors.`);
  if (purpose === 'vectors' && pooling === Pooling.none) {
    throw new Error(
      `${path} does not say how the vectors of its tokens become one (\`pooling_type\`). Choose another conversion of this model.`,
    );
  }
}

function pairOf(file: ModelFile, model: VectorAddonModel): OpenedVectorModel['pair'] {
  if (file.purpose !== 'scores') return undefined;
  if (file.rerankTemplate === undefined) return pairMarks(model);
  checkRerankTemplate(file.rerankTemplate, file.path);
  return { template: file.rerankTemplate };
}

async function openContexts(
  addon: VectorAddon,
  model: VectorAddonModel,
  file: ModelFile,
  batchSize: number,
  options: LlamaCppVectorOptions,
): Promise<VectorAddonContext[]> {
  const opened: VectorAddonContext[] = [];
  for (let index = 0; index < options.contexts; index++) {
    const context = new addon.AddonContext(model, {
      contextSize: Math.ceil(options.contextLength / CONTEXT_PIECE_TOKENS) * CONTEXT_PIECE_TOKENS,
      batchSize,
      sequences: 1,
      threads: Math.max(1, Math.floor(options.threads / options.contexts)),
      flashAttention: 'auto',
      embeddings: true,
      ranking: file.purpose === 'scores',
    });
    opened.push(context);
    if (await context.init()) continue;
    for (const each of opened) await each.dispose();
    throw new Error(memoryRefused(options));
  }
  return opened;
}

function memoryRefused({ path, contexts, contextLength }: LlamaCppVectorOptions): string {
  return (
    `The machine refuses the memory for ${path} with ${contexts} contexts of ${contextLength} tokens. ` +
    "Lower --embedding-contexts or the model's `context`, or choose a smaller model."
  );
}

function describe(
  model: VectorAddonModel,
  file: ModelFile,
  options: LlamaCppVectorOptions,
  engine: string,
): VectorModel {
  const scores = file.purpose === 'scores';
  return {
    contextLength: options.contextLength,
    concurrentMax: options.contexts,
    embeddingLength: scores ? 0 : model.getEmbeddingVectorSize(),
    scores,
    vocabularySize: file.vocabularySize,
    engine,
  };
}
