/**
 * What turns tokens into vectors, or a pair of texts into a score. Made for models that generate nothing.
 *
 * Several inputs may be computed at a time, up to `model.concurrentMax`; further ones wait their turn inside.
 */
export interface VectorEngine {
  readonly model: VectorModel;

  /** Tokens of `text`, with the control tokens that the model wants around a whole input. */
  tokenize(text: string): number[];
  /** Tokens of `text` as it stands. With `special`, the texts of control tokens become those tokens. */
  tokenizePlain(text: string, special: boolean): number[];
  /**
   * The text of tokens, of control tokens their names. Such models' tokenizers often forget case and spaces, so it may
   * differ from what was read.
   */
  detokenize(tokens: readonly number[]): string;
  /** The bytes of a token as the vocabulary spells it; of a control token, its name. */
  bytesOf(token: number): Uint8Array;
  /** The tokens of a query and a document together, as the model was trained to score them; only if `model.scores`. */
  joinPair(query: string, document: string): number[];

  /**
   * The vector of one input, of length 1.
   *
   * @throws Error when there are no tokens, more than `model.contextLength`, or one that is none.
   * @throws what `signal` was aborted with.
   */
  embed(tokens: readonly number[], signal: AbortSignal): Promise<Float32Array>;

  /** How well a pair (see `joinPair`) fits, from 0 to 1; higher is better. Only if `model.scores`. @throws as `embed`. */
  score(tokens: readonly number[], signal: AbortSignal): Promise<number>;

  /** Frees the engine's memory, once nothing is computed any more. */
  close(): Promise<void>;
}

export interface VectorModel {
  /** Tokens that one input may have, control tokens included. */
  readonly contextLength: number;
  /** Inputs that are computed side by side. */
  readonly concurrentMax: number;
  /** Numbers of a vector; 0 for a model that only scores. */
  readonly embeddingLength: number;
  /** Whether it scores pairs (a cross-encoder) instead of making vectors. */
  readonly scores: boolean;
  readonly vocabularySize: number;
  /** Such as `llama.cpp v0.5.0`. */
  readonly engine: string;
}
