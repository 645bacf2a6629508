import { type ModelSize, mebibytes, tokenCount } from './plan-memory.js';

/** A context nobody asked for is never larger: few texts are, and each context takes its memory in full. */
const CHOSEN_CONTEXT_MAX = 8_192;
/** Nor smaller, unless the model is: such vectors would be of beginnings of texts. */
const CHOSEN_CONTEXT_MIN = 256;

export interface VectorMemoryWish {
  readonly model: ModelSize;
  /** Inputs that are computed side by side; each has a context of its own. */
  readonly contexts: number;
  /** Tokens of an input that were asked for; absent: as many as the model was made for and the memory holds. */
  readonly context?: number | undefined;
  /** How many tokens of an input are read at a time, where an input may have so many. */
  readonly batchSize: (contextLength: number) => number;
  /** Whether tokens are kept for those that follow; a model whose tokens all see one another keeps none. */
  readonly keepsCache: boolean;
  readonly availableBytes: number;
  readonly reserveBytes: number;
}

export type VectorMemoryPlan =
  | { readonly fits: true; readonly contextLength: number; readonly bytes: number; readonly sentence: string }
  | { readonly fits: false; readonly sentence: string };

/** Works out whether a model of vectors or scores fits into the memory, and with how long inputs. Reserves nothing. */
export function planVectorMemory(wish: VectorMemoryWish): VectorMemoryPlan {
  const { model, context } = wish;
  if (context !== undefined && model.contextTrained > 0 && context > model.contextTrained) {
    return {
      fits: false,
      sentence: `A context of ${tokenCount(context)} was asked for, but the model was made for ${tokenCount(model.contextTrained)}. Use \`context: ${model.contextTrained}\` or less.`,
    };
  }
  const contextLength = context ?? contextToChoose(wish);
  const bytes = neededBytes(wish, contextLength);
  const usableBytes = Math.max(0, wish.availableBytes - wish.reserveBytes);
  const free = `${mebibytes(wish.availableBytes)} free, ${mebibytes(wish.reserveBytes)} of it reserved`;
  const parts = `weights ${mebibytes(model.weightsBytes)}, ${wish.contexts} contexts of ${tokenCount(contextLength)} about ${mebibytes(bytes - model.weightsBytes)}`;
  if (bytes <= usableBytes) {
    return { fits: true, contextLength, bytes, sentence: `Memory: ${parts}; ${free}.` };
  }
  return {
    fits: false,
    sentence: `The model needs ${mebibytes(bytes)} of memory (${parts}), but it may use ${mebibytes(usableBytes)} (${free}). Lower --embedding-contexts or the model's \`context\`, or choose a smaller model.`,
  };
}

/** Half, and half again, of what the model was made for, until it fits. */
function contextToChoose(wish: VectorMemoryWish): number {
  const trained = wish.model.contextTrained > 0 ? wish.model.contextTrained : CHOSEN_CONTEXT_MIN;
  const least = Math.min(trained, CHOSEN_CONTEXT_MIN);
  let contextLength = Math.min(trained, CHOSEN_CONTEXT_MAX);
  while (contextLength > least && neededBytes(wish, contextLength) > wish.availableBytes - wish.reserveBytes) {
    contextLength = Math.max(least, Math.floor(contextLength / 2));
  }
  return contextLength;
}

/**
 * Weights, and for every context: the cache if there is one; per token that is read at a time the widest layer (about
 * sixteen embeddings of 32-bit floats, as for models that generate) and the mask; and llama.cpp's row of outputs, which
 * has room for the scores of the whole vocabulary though nobody asks for them.
 */
function neededBytes({ model, contexts, batchSize, keepsCache }: VectorMemoryWish, contextLength: number): number {
  const batch = batchSize(contextLength);
  const perToken =
    16 * model.embeddingLength * 4 + (model.vocabularySize + model.embeddingLength) * 4 + 4 * contextLength;
  const cache = keepsCache ? model.cacheBytesPerToken * contextLength : 0;
  return model.weightsBytes + contexts * (cache + batch * perToken);
}
