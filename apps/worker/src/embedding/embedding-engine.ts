import {
  type AnswerEvent,
  allowedMsOf,
  type Embeddings,
  type EmbedRequest,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelDescription,
  type Ranking,
  type RerankRequest,
  type TimedRequest,
  type TimeLimits,
  type Tokenized,
  type TokenizeRequest,
  timeoutSettingOf,
} from '@millrace/contracts';
import { checkTokens } from '../token-engine/check-tokens.js';
import { unitVector } from '../token-engine/unit-vector.js';
import type { VectorEngine } from '../token-engine/vector-engine.js';
import type { EmbeddingObserver } from './embedding-observer.js';
import { type ComputeInput, InputQueue } from './input-queue.js';
import { InputReader } from './read-input.js';

/** Tokenising holds up the process; so much of it takes about a fifth of a second. */
const TOKENIZED_CHARACTERS_MAX = 1_048_576;

export interface EmbeddingOptions {
  /** What is served, as `describe()` says it. */
  readonly model: Omit<ModelDescription, 'engine' | 'contextLength' | 'capabilities' | 'embeddingLength'>;
  readonly limits: {
    /** Requests that may wait for their turn. */
    readonly queueMax: number;
    /** As of the steps that answers take: one turn in so many is also for inputs that nobody waits for. */
    readonly backgroundSteps: number;
  } & TimeLimits;
  readonly observer: EmbeddingObserver;
}

/** What is to be ranked, and for whom. */
type RankedTexts = Pick<RerankRequest, 'query' | 'documents' | 'priority'>;

/**
 * The engine of models that generate nothing: they make vectors of texts, or score pairs of them.
 *
 * Documents are ranked by the model's own scores, from 0 to 1, if it scores; else by the cosine between the vector of the
 * query and that of the document, from -1 to 1.
 *
 * Ownership: owns the vector engine, and closes it.
 */
export class EmbeddingEngine implements Engine {
  readonly #queue: InputQueue;

  constructor(
    private readonly vectors: VectorEngine,
    private readonly options: EmbeddingOptions,
  ) {
    const { limits, observer } = options;
    const { queueMax, backgroundSteps } = limits;
    this.#queue = new InputQueue({ concurrentMax: vectors.model.concurrentMax, queueMax, backgroundSteps }, observer);
  }

  describe(): ModelDescription {
    const { contextLength, engine, embeddingLength, scores } = this.vectors.model;
    return {
      ...this.options.model,
      contextLength,
      engine,
      capabilities: scores ? ['rerank'] : ['embedding', 'rerank'],
      ...(!scores && { embeddingLength }),
    };
  }

  /** Inputs that are computed, and requests that wait. */
  load(): EngineLoad {
    return { running: this.#queue.running, waiting: this.#queue.waiting };
  }

  // biome-ignore lint/correctness/useYield: an answer that fails before its first event has none.
  async *answer(): AsyncGenerator<AnswerEvent, void, undefined> {
    throw this.#generatesNothing();
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings> {
    const { inputs, dimensions } = request;
    const { scores } = this.vectors.model;
    if (scores) {
      throw new InferenceError(
        'embeddings_not_supported',
        `${this.options.model.id} scores pairs of texts and makes no vectors. Choose a model with the capability \`embedding\`.`,
        { param: 'model' },
      );
    }
    const length = this.#vectorLength(dimensions);
    if (inputs.length === 0) throw empty('input');
    this.#queue.checkRoom(inputs.length);
    using deadline = new Deadline(request, this.options.limits, signal);
    const reader = new InputReader(this.vectors, deadline.signal);
    const read: (readonly number[])[] = [];
    for (const [index, input] of inputs.entries()) {
      read.push(await reader.readInput(input, inputs.length === 1 ? 'input' : `input[${index}]`));
    }
    const whole = await this.#queue.run(read, this.#toVector, deadline.signal, request.priority);
    const vectors = whole.map((vector) => (length === vector.length ? vector : unitVector(vector.subarray(0, length))));
    return { vectors, promptTokens: tokensIn(read) };
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    const { query, documents, priority } = request;
    if (documents.length === 0) throw empty('documents');
    this.#queue.checkRoom(documents.length);
    using deadline = new Deadline(request, this.options.limits, signal);
    const reader = new InputReader(this.vectors, deadline.signal);
    const rank = this.vectors.model.scores ? this.#rankByScores : this.#rankByVectors;
    // Awaited here: the deadline is taken off when this function is left.
    return await rank.call(this, { query, documents, priority }, reader, deadline.signal);
  }

  async #rankByScores(
    { query, documents, priority }: RankedTexts,
    reader: InputReader,
    signal: AbortSignal,
  ): Promise<Ranking> {
    const pairs: (readonly number[])[] = [];
    for (const [index, document] of documents.entries()) {
      pairs.push(await reader.readPair(query, document, `documents[${index}]`));
    }
    const score: ComputeInput<number> = (tokens, leaving) => this.vectors.score(tokens, leaving);
    return { scores: await this.#queue.run(pairs, score, signal, priority), promptTokens: tokensIn(pairs) };
  }

  async #rankByVectors(
    { query, documents, priority }: RankedTexts,
    reader: InputReader,
    signal: AbortSignal,
  ): Promise<Ranking> {
    const inputs = [await reader.readText(query, 'query')];
    for (const [index, document] of documents.entries()) {
      inputs.push(await reader.readText(document, `documents[${index}]`));
    }
    const [asked, ...vectors] = await this.#queue.run(inputs, this.#toVector, signal, priority);
    return { scores: vectors.map((vector) => cosine(asked!, vector)), promptTokens: tokensIn(inputs) };
  }

  async tokenize({ prompt, addSpecial, parseSpecial }: TokenizeRequest): Promise<Tokenized> {
    if (prompt.kind === 'chat') throw this.#generatesNothing();
    if (prompt.kind === 'tokens') {
      checkTokens(prompt.tokens, this.vectors.model, 'prompt');
      return this.#spelled(prompt.tokens);
    }
    const { text } = prompt;
    if (text.length > TOKENIZED_CHARACTERS_MAX) {
      throw new InferenceError(
        'invalid_request',
        `The text has ${text.length.toLocaleString('en-US')} characters; at most ${TOKENIZED_CHARACTERS_MAX.toLocaleString('en-US')} are tokenised at a time. Send it in parts.`,
        { param: 'prompt' },
      );
    }
    return this.#spelled(addSpecial ? this.vectors.tokenize(text) : this.vectors.tokenizePlain(text, parseSpecial));
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    checkTokens(tokens, this.vectors.model, 'tokens');
    return this.vectors.detokenize(tokens);
  }

  async renderPrompt(): Promise<string> {
    throw this.#generatesNothing();
  }

  async close(): Promise<void> {
    this.#queue.close(new InferenceError('shutting_down', 'This worker stops. Send the request again.'));
    await this.vectors.close();
  }

  readonly #toVector: ComputeInput<Float32Array> = (tokens, leaving) => this.vectors.embed(tokens, leaving);

  #spelled(tokens: readonly number[]): Tokenized {
    return { tokens, pieces: tokens.map((token) => this.vectors.bytesOf(token)) };
  }

  #vectorLength(dimensions: number | undefined): number {
    const { embeddingLength } = this.vectors.model;
    if (dimensions === undefined) return embeddingLength;
    if (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= embeddingLength) return dimensions;
    throw new InferenceError(
      'invalid_request',
      `dimensions is ${dimensions}; the vectors of this model have ${embeddingLength} numbers and can only be shortened. Use 1 to ${embeddingLength}, or leave it out.`,
      { param: 'dimensions' },
    );
  }

  #generatesNothing(): InferenceError {
    return new InferenceError(
      'generation_not_supported',
      `${this.options.model.id} generates no text. Choose a model with the capability \`chat\` or \`completion\`.`,
      { param: 'model' },
    );
  }
}

/** Aborts when the caller leaves, or when the time is up. */
class Deadline implements Disposable {
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;

  constructor(request: TimedRequest, limits: TimeLimits, caller: AbortSignal) {
    const allowedMs = allowedMsOf(request, limits);
    const late = new AbortController();
    this.#timer = setTimeout(() => late.abort(tooLate(allowedMs, request)), allowedMs);
    this.signal = AbortSignal.any([caller, late.signal]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

function tooLate(allowedMs: number, { priority }: TimedRequest): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    `The request was not complete within ${allowedMs.toLocaleString('en-US')} ms. Send fewer or shorter inputs, or raise ${timeoutSettingOf(priority)}.`,
  );
}

function empty(param: string): InferenceError {
  return new InferenceError('invalid_request', `${param} is empty. Send at least one text.`, { param });
}

function tokensIn(inputs: readonly (readonly number[])[]): number {
  return inputs.reduce((sum, tokens) => sum + tokens.length, 0);
}

/** Of vectors of length 1. Rounding may leave -1 to 1 by a hair, which would surprise who draws an angle from it. */
function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at]! * b[at]!;
  return Math.max(-1, Math.min(1, sum));
}
