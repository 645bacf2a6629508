import { randomInt } from 'node:crypto';
import {
  type AnswerEvent,
  type AnswerRequest,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelDescription,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { ChatTemplate } from '../prompt/chat-template.js';
import type { TokenEngine } from '../token-engine/token-engine.js';
import { AnswerBuffer } from './answer-buffer.js';
import type { BatchingObserver } from './batching-observer.js';
import { checkTokens, readPrompt } from './read-prompt.js';
import { resolveSampling, type SamplingDefaults } from './resolve-sampling.js';
import { Scheduler } from './scheduler.js';
import { Sequence } from './sequence.js';

/**
 * Tokens that may wait for their reader before the sequence is paused. Some, so that a reader that is a moment late does
 * not leave the batch; few, since everything beyond is computed for a reader that may never come.
 */
const UNREAD_TOKENS_MAX = 16;

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
    this.#scheduler = new Scheduler(
      tokenEngine,
      {
        placesMax: Math.min(limits.maxBatchSize, model.placesMax),
        prefillChunkTokens: limits.prefillChunkTokens,
        tokensPerStepMax: model.tokensPerStepMax,
        queueMax: limits.queueMax,
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

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await this.tokenEngine.close();
  }

  #open(request: AnswerRequest, signal: AbortSignal): Sequence {
    if (this.#broken) {
      throw new InferenceError('model_not_ready', 'The engine broke; this worker restarts.', { retryAfterSeconds: 5 });
    }
    this.#scheduler.checkRoom();
    const { limits, samplingDefaults, maxTokensDefault } = this.options;
    const promptTokens = readPrompt(request.prompt, this.tokenEngine, this.#template);
    checkTokens(request.resume?.tokens ?? [], this.tokenEngine.model, 'resume');
    const room = this.tokenEngine.model.contextLength - promptTokens.length;
    return new Sequence(
      {
        priority: request.priority,
        arrival: this.#arrivals++,
        promptTokens,
        sampling: resolveSampling(request.sampling, samplingDefaults, () => randomInt(2 ** 32)),
        completionTokensMax: Math.min(request.maxTokens ?? maxTokensDefault ?? room, room),
        stop: request.stop,
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
}

function failed(error: unknown): AnswerBuffer {
  const answer = new AnswerBuffer({ onRead: () => undefined, onReturn: () => undefined });
  answer.end({ error });
  return answer;
}
