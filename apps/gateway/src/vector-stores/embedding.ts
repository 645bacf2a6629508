import type { Caller } from '../vocabulary.js';

/** A model that makes vectors, as the catalogue has it. */
export interface EmbeddingModel {
  readonly id: string;
  /** Tokens that it takes at a time; 0 until that is known. */
  readonly contextLength: number;
}

/** What vector stores need of the models: vectors of texts, on a caller's account, when nobody else wants their places. */
export interface Embedding {
  /** @throws InferenceError where there is none, or not for this caller. @param named undefined: the one that the setting names, or the only one. */
  modelFor(caller: Caller, named: string | undefined): EmbeddingModel;
  /** In the order of the texts. @throws InferenceError */
  vectorsOf(
    caller: Caller,
    model: EmbeddingModel,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Float32Array[]>;
  /** Bytes of each token. Undefined: the model does not tell, or nobody who would is there just now. */
  spell(model: EmbeddingModel, text: string, signal: AbortSignal): Promise<readonly Uint8Array[] | undefined>;
}
