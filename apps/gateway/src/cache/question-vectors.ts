/** What a question is compared by. */
export interface QuestionVector {
  /** The id of the model that made it: vectors of two models can not be compared. */
  readonly model: string;
  readonly vector: Float32Array;
}

export interface QuestionVectors {
  /**
   * Asks a worker, at once and without a place: whoever calls bounds how many do.
   *
   * @returns undefined when no model makes vectors, or it is not clear which should.
   * @throws what the worker does, and the reason of `signal`.
   */
  vectorOf(question: string, requestId: string, signal: AbortSignal): Promise<QuestionVector | undefined>;
}
