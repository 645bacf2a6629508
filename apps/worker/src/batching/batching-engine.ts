import { randomInt } from 'node:crypto';
import {
  type AnswerEvent,
  type AnswerRequest,
  type Embeddings,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelDescription,
  type Prompt,
  type Ranking,
  type Tokenized,
  type TokenizeRequest,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { ChatTemplate } from '../prompt/chat-template.js';
import { checkTokens } from '../token-engine/check-tokens.js';
import type { TokenEngine } from '../token-engine/token-engine.js';
import { AnswerBuffer } from './answer-buffer.js';
import type { BatchingObserver } from './batching-observer.js';
import { OutputGrammars } from './output-grammars.js';
import { standingOf } from './plan-step.js';
import { type ReadPrompt, readPrompt } from './read-prompt.js';
import { resolveSampling, type SamplingDefaults } from './resolve-sampling.js';
import { Scheduler } from './scheduler.js';
import { Sequence } from './sequence.js';

/**
 * Tokens that may wait for their reader before the sequence is paused. Some, so that a reader that is a moment late does
 * not leave the batch; few, since everything beyond is computed for a reader that may never come.
 */
const UNREAD_TOKENS_MAX = 16;

/** Tokenising holds the process for about a second per 5 MB, and answers of others wait meanwhile. */
const TOKENIZE_CHARACTERS_MAX = 1_048_576;

export interface BatchingOptions {
  /** What is served, as `describe()` says it. */
  readonly model: Omit<ModelDescription, 'engine' | 'contextLength'>;
  /** Replaces the chat template of the model's file. */
  readonly chatTemplate: string | undefined;
  readonly samplingDefaults: SamplingDefaults;
  readonly maxTokensDefault: number | undefined;
  readonly limits: {
    readonly maxBatchSize: number;
    readonly queueMax: number;
    readonly prefillChunkTokens: number;
    readonly maxWaitMs: number;
    readonly priorityAgeingMs: number;
    readonly requestTimeoutMs: number;
    readonly stallTimeoutMs: number;
  };
  readonly observer: BatchingObserver;
  readonly logger: Logger;
  /** Called once, when the engine broke and cannot be used any more. */
  readonly onBroken: (error: unknown) => void;
}

/**
 * The engine that answers by batching: many sequences on one `TokenEngine`.
 *
 * Ownership: owns the token engine, and closes it.
 */
export class BatchingEngine implements Engine {
  readonly #template: ChatTemplate;
  readonly #grammars: OutputGrammars;
  /** What was read for a request; others may hold the same prompt. */
  readonly #read = new WeakMap<Prompt, ReadPrompt>();
  readonly #scheduler: Scheduler;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #broken = false;
  #arrivals = 0;

  /** @throws Error when the model's chat template can't be read. */
  constructor(
    private readonly tokenEngine: TokenEngine,
    private readonly options: BatchingOptions,
  ) {
    const { model } = tokenEngine;
    const { limits, observer, logger } = options;
    this.#template = new ChatTemplate(options.chatTemplate ?? model.chatTemplate, model);
    this.#grammars = new OutputGrammars(tokenEngine);
    this.#scheduler = new Scheduler(
      tokenEngine,
      {
        placesMax: Math.min(limits.maxBatchSize, model.placesMax),
        prefillChunkTokens: limits.prefillChunkTokens,
        queueMax: limits.queueMax,
        maxWaitMs: limits.maxWaitMs,
      },
      observer,
      logger,
    );
    this.#ended = this.#scheduler.run(this.#stop.signal).catch((error: unknown) => {
      this.#broken = true;
      options.onBroken(error);
    });
  }

  describe(): ModelDescription {
    const { contextLength, engine } = this.tokenEngine.model;
    return { ...this.options.model, contextLength, engine };
  }

  load(): EngineLoad {
    return { running: this.#scheduler.running, waiting: this.#scheduler.waiting };
  }

  /** The sequence begins to wait at once, not at the first read. What refuses it is thrown by the first read. */
  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    try {
      signal.throwIfAborted();
      const sequence = this.#open(request, signal);
      this.#scheduler.submit(sequence);
      return sequence.answer;
    } catch (error) {
      return failed(error);
    }
  }

  async embed(): Promise<Embeddings> {
    throw this.#cannot('embeddings_not_supported', 'makes no vectors', 'embedding');
  }

  async rerank(): Promise<Ranking> {
    throw this.#cannot('rerank_not_supported', 'scores no documents', 'rerank');
  }

  async tokenize({ prompt, addSpecial, parseSpecial }: TokenizeRequest): Promise<Tokenized> {
    const tokens = this.#tokensOf(prompt, addSpecial, parseSpecial);
    return { tokens, pieces: tokens.map((token) => this.tokenEngine.bytesOf(token)) };
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    checkTokens(tokens, this.tokenEngine.model, 'tokens');
    // By name, where the text of an answer leaves control tokens out: who asks wants to see what is there.
    return Buffer.concat(tokens.map((token) => this.tokenEngine.bytesOf(token))).toString('utf8');
  }

  async renderPrompt(prompt: Extract<Prompt, { kind: 'chat' }>): Promise<string> {
    return this.#template.render(prompt);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await this.tokenEngine.close();
  }

  #cannot(code: 'embeddings_not_supported' | 'rerank_not_supported', what: string, capability: string): InferenceError {
    const { id } = this.options.model;
    const remedy = `Choose one whose capabilities in GET /v1/models have \`${capability}\`.`;
    return new InferenceError(code, `The model \`${id}\` generates text and ${what}. ${remedy}`, { param: 'model' });
  }

  #tokensOf(prompt: Prompt, beginning: boolean, special: boolean): readonly number[] {
    if (prompt.kind === 'tokens') return prompt.tokens;
    if (prompt.kind === 'chat') return readPrompt(prompt, this.tokenEngine, this.#template, 0).tokens;
    if (prompt.text.length > TOKENIZE_CHARACTERS_MAX) throw tooLongToTokenize(prompt.text.length);
    return this.tokenEngine.tokenize(prompt.text, { special, beginning });
  }

  #open(request: AnswerRequest, signal: AbortSignal): Sequence {
    if (this.#broken) {
      throw new InferenceError('model_not_ready', 'The engine broke; this worker restarts.', { retryAfterSeconds: 5 });
    }
    this.#scheduler.checkRoom();
    const { limits, samplingDefaults, maxTokensDefault } = this.options;
    const { model } = this.tokenEngine;
    const prompt = this.#readPrompt(request);
    checkTokens(request.resume?.tokens ?? [], model, 'resume');
    const room = model.contextLength - prompt.tokens.length;
    const { priority, format } = request;
    const grammar = () => format && this.#grammars.grammarOf(format);
    grammar(); // What it refuses is said now; it is most likely still known when the sequence joins.
    return new Sequence(
      {
        priority,
        standing: standingOf(performance.now(), priority, limits.priorityAgeingMs),
        arrival: this.#arrivals++,
        prompt,
        choosing: {
          sampling: resolveSampling(request.sampling, samplingDefaults, model, () => randomInt(2 ** 32)),
          logprobs: request.logprobs,
        },
        grammar,
        completionTokensMax: Math.min(request.maxTokens ?? maxTokensDefault ?? room, room),
        stop: request.stop,
        echo: request.echo ?? false,
        resume: request.resume,
      },
      this.tokenEngine,
      {
        deadlineMs: Math.min(request.deadlineMs ?? limits.requestTimeoutMs, limits.requestTimeoutMs),
        stallTimeoutMs: limits.stallTimeoutMs,
        unreadTokensMax: UNREAD_TOKENS_MAX,
      },
      this.#scheduler,
      signal,
    );
  }

  #readPrompt({ prompt, maxTokens }: AnswerRequest): ReadPrompt {
    const known = this.#read.get(prompt);
    if (known !== undefined) return known;
    const read = readPrompt(prompt, this.tokenEngine, this.#template, maxTokens === 0 ? 0 : 1);
    this.#read.set(prompt, read);
    return read;
  }
}

function tooLongToTokenize(characters: number): InferenceError {
  const [given, limit] = [characters, TOKENIZE_CHARACTERS_MAX].map((count) => count.toLocaleString('en-US'));
  return new InferenceError(
    'invalid_request',
    `The text has ${given} characters; ${limit} are tokenised at a time. Send it in parts.`,
    { param: 'content' },
  );
}

function failed(error: unknown): AnswerBuffer {
  const answer = new AnswerBuffer({ onRead: () => undefined, onReturn: () => undefined });
  answer.end({ error });
  return answer;
}
