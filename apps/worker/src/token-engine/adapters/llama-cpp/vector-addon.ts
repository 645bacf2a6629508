import { type Addon, type AddonModel, missingFrom, refuse } from './addon.js';

/**
 * What the addon offers for vectors, beside what `addon.ts` declares; the same holds: nobody promises its shape, so it is
 * checked at start.
 *
 * `getEmbedding` gives the vector of sequence 0 and of no other. So inputs can't share a batch; they are computed side by
 * side in contexts of one sequence each.
 */
export interface VectorAddon {
  readonly AddonContext: new (model: VectorAddonModel, options: VectorContextOptions) => VectorAddonContext;
}

export interface VectorContextOptions {
  readonly contextSize: number;
  /** Where every token sees all the others, an input must be read in one batch. */
  readonly batchSize: number;
  readonly sequences: 1;
  readonly threads: number;
  readonly flashAttention: 'auto';
  readonly embeddings: true;
  /** Pools by the head that scores, whatever the file says. */
  readonly ranking: boolean;
}

export interface VectorAddonContext {
  /** False when llama.cpp refused, mostly for want of memory. */
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  initBatch(tokens: number): void;
  addToBatch(sequence: 0, position: number, tokens: Uint32Array, outputAt: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  disposeSequence(sequence: 0): void;
  /** The pooled vector of sequence 0, at most `lengthMax` numbers of it. */
  getEmbedding(tokens: number, lengthMax?: number): Float64Array;
}

export interface VectorAddonModel extends AddonModel {
  /** Numbers of a vector. */
  getEmbeddingVectorSize(): number;
  shouldAppendEosToken(): boolean;
  /** -1 where the model has none. */
  sepToken(): number;
}

const CONTEXT_MEMBERS = [
  'init',
  'dispose',
  'initBatch',
  'addToBatch',
  'decodeBatch',
  'disposeSequence',
  'getEmbedding',
] as const satisfies readonly (keyof VectorAddonContext)[];
const MODEL_MEMBERS = [
  'getEmbeddingVectorSize',
  'shouldAppendEosToken',
  'sepToken',
] as const satisfies readonly Exclude<keyof VectorAddonModel, keyof AddonModel>[];

/** The same addon and model, with what vectors need. @throws Error naming what is missing. */
export async function forVectors(
  addon: Addon,
  model: AddonModel,
): Promise<{ readonly addon: VectorAddon; readonly model: VectorAddonModel }> {
  const missing = [
    ...missingFrom('AddonContext.', addon.AddonContext.prototype, CONTEXT_MEMBERS),
    ...missingFrom('AddonModel.', model, MODEL_MEMBERS),
  ];
  await refuse(missing);
  return { addon: addon as unknown as VectorAddon, model: model as VectorAddonModel };
}
