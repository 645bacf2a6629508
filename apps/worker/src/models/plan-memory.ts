const MIB = 1024 * 1024;

/** llama.cpp reserves the cache of a sequence in pieces of so many tokens. */
const PIECE_TOKENS = 256;

/** A context nobody asked for is never smaller: few prompts would fit, and no one would know why. */
const CHOSEN_CONTEXT_MIN = 512;

/** What a plan must know of the model. */
export interface ModelSize {
  readonly weightsBytes: number;
  /** One token of one sequence in the key-value cache. */
  readonly cacheBytesPerToken: number;
  /** Tokens that the model was made for; 0 where the file does not say. */
  readonly contextTrained: number;
  readonly embeddingLength: number;
  readonly vocabularySize: number;
}

export interface MemoryWish {
  readonly model: ModelSize;
  /** `maxBatchSize`: each has its own part of the cache, used or not. */
  readonly sequences: number;
  /** Tokens per sequence that were asked for; absent: as many as the model was made for and the memory holds. */
  readonly context?: number | undefined;
  /** Whether it stands beside the chosen model; `--context` is about that one alone. */
  readonly isBeside?: boolean | undefined;
  readonly tokensPerStepMax: number;
  /** Memory that is free for this process, before the reserve. */
  readonly availableBytes: number;
  /** Of that, what is left to everything else (`memoryReserveMib`). */
  readonly reserveBytes: number;
}

export type MemoryPlan =
  | {
      readonly fits: true;
      readonly contextLength: number;
      readonly weightsBytes: number;
      readonly cacheBytes: number;
      /** An estimate; the other two are exact. */
      readonly computeBytes: number;
      readonly sentence: string;
    }
  | { readonly fits: false; readonly sentence: string };

/**
 * Works out whether the model fits into the memory, and with how much context. Decides; reserves nothing.
 *
 * It has to be asked before the engine opens: the system hands out memory that it does not have, and kills the process
 * that then uses it, so llama.cpp itself seldom gets to refuse.
 */
export function planMemory(wish: MemoryWish): MemoryPlan {
  const { model, context } = wish;
  if (context !== undefined && model.contextTrained > 0 && context > model.contextTrained) {
    return { fits: false, sentence: contextBeyondModel(wish, context) };
  }
  const contextLength = context ?? contextToChoose(wish);
  return neededBytes(wish, wish.sequences, contextLength) <= usableBytes(wish)
    ? planFor(wish, contextLength)
    : { fits: false, sentence: refusal(wish, contextLength) };
}

function planFor(wish: MemoryWish, contextLength: number): MemoryPlan {
  const { weightsBytes } = wish.model;
  const cacheBytes = cacheBytesOf(wish, wish.sequences, contextLength);
  const computeBytes = computeBytesOf(wish, contextLength);
  const most = contextWished(wish);
  const chosen = `context ${tokenCount(contextLength)}`;
  // Said only where more memory would change something.
  const less = contextLength < most ? ` (of ${tokenCount(most)}; a lower --max-batch-size allows more)` : '';
  const sentence =
    `Memory: weights ${mebibytes(weightsBytes)}, cache ${mebibytes(cacheBytes)} ` +
    `(${wish.sequences} sequences × ${tokenCount(contextLength)}), computing about ${mebibytes(computeBytes)}; ` +
    `${mebibytes(wish.availableBytes)} free, ${mebibytes(wish.reserveBytes)} of it reserved. Chosen: ${chosen}${less}.`;
  return { fits: true, contextLength, weightsBytes, cacheBytes, computeBytes, sentence };
}

/** The most that fits, never above the wish; CHOSEN_CONTEXT_MIN when not even that fits. */
function contextToChoose(wish: MemoryWish): number {
  const most = contextWished(wish);
  return Math.min(most, Math.max(CHOSEN_CONTEXT_MIN, contextThatFits(wish, wish.sequences, most)));
}

/** What would be taken if memory were no matter. */
function contextWished({ context, model }: MemoryWish): number {
  if (context !== undefined) return context;
  const trained = model.contextTrained > 0 ? model.contextTrained : CHOSEN_CONTEXT_MIN;
  return trained < PIECE_TOKENS ? trained : floorToPiece(trained);
}

/** The largest context up to `most`, in whole pieces, that `sequences` can have; 0 when there is none. */
function contextThatFits(wish: MemoryWish, sequences: number, most: number): number {
  const fixed = neededBytes(wish, sequences, 0);
  const perToken = (neededBytes(wish, sequences, PIECE_TOKENS) - fixed) / PIECE_TOKENS;
  const fitting = Math.floor((usableBytes(wish) - fixed) / Math.max(1, perToken));
  return Math.max(0, floorToPiece(Math.min(fitting, most)));
}

/** The largest number of sequences that can have `contextLength` each; 0 when not even one can. */
function sequencesThatFit(wish: MemoryWish, contextLength: number): number {
  let sequences = wish.sequences;
  while (sequences > 0 && neededBytes(wish, sequences, contextLength) > usableBytes(wish)) sequences--;
  return sequences;
}

function usableBytes({ availableBytes, reserveBytes }: MemoryWish): number {
  return Math.max(0, availableBytes - reserveBytes);
}

function neededBytes(wish: MemoryWish, sequences: number, contextLength: number): number {
  return wish.model.weightsBytes + cacheBytesOf(wish, sequences, contextLength) + computeBytesOf(wish, contextLength);
}

function cacheBytesOf({ model }: MemoryWish, sequences: number, contextLength: number): number {
  return model.cacheBytesPerToken * sequences * Math.ceil(contextLength / PIECE_TOKENS) * PIECE_TOKENS;
}

/**
 * What llama.cpp holds beside weights and cache while it computes: per token of a step, the widest layer (about twelve
 * embeddings of 32-bit floats, measured with models of 2 and 85 million parameters; sixteen here, as some are wider) or
 * the row of all tokens' scores, whichever is more, and two bytes of mask per token of context.
 */
function computeBytesOf({ model, tokensPerStepMax, sequences }: MemoryWish, contextLength: number): number {
  const widest = Math.max(16 * model.embeddingLength, model.vocabularySize + 2 * model.embeddingLength) * 4;
  const scores = sequences * model.vocabularySize * 4;
  return tokensPerStepMax * (widest + 2 * contextLength) + scores;
}

function contextBeyondModel(wish: MemoryWish, context: number): string {
  const { contextTrained } = wish.model;
  return `A context of ${tokenCount(context)} was asked for, but the model was made for ${tokenCount(contextTrained)}. Use ${contextSetting(wish, contextTrained)} or less.`;
}

function contextSetting({ isBeside = false }: MemoryWish, context: number): string {
  return isBeside ? `\`context: ${context}\` in the models file` : `--context ${context}`;
}

function refusal(wish: MemoryWish, contextLength: number): string {
  const { model, sequences, availableBytes, reserveBytes } = wish;
  const needs = mebibytes(neededBytes(wish, sequences, contextLength));
  return (
    `The model needs ${needs} of memory (weights ${mebibytes(model.weightsBytes)}, ` +
    `cache ${mebibytes(cacheBytesOf(wish, sequences, contextLength))} for ${sequences} sequences × ${tokenCount(contextLength)}), ` +
    `but it may use ${mebibytes(usableBytes(wish))} (${mebibytes(availableBytes)} are free, ${mebibytes(reserveBytes)} of them reserved). ` +
    `${remedy(wish, contextLength)}.`
  );
}

/** Only what would indeed fit. */
function remedy(wish: MemoryWish, contextLength: number): string {
  const context = contextThatFits(wish, wish.sequences, contextLength - 1);
  const sequences = sequencesThatFit(wish, contextLength);
  const ways = [
    // Below the minimum it would start, but hardly serve anyone.
    ...(context >= CHOSEN_CONTEXT_MIN ? [contextSetting(wish, context)] : []),
    ...(sequences > 0 ? [`--max-batch-size ${sequences}`] : []),
  ];
  return ways.length > 0 ? `Use ${ways.join(' or ')}, or a smaller model` : 'Use a smaller model, or free some memory';
}

function floorToPiece(contextLength: number): number {
  return Math.floor(contextLength / PIECE_TOKENS) * PIECE_TOKENS;
}

export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / MIB).toLocaleString('en')} MiB`;
}

export function tokenCount(count: number): string {
  return `${count.toLocaleString('en')} tokens`;
}
