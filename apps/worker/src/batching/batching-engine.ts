import { randomInt } from 'node:crypto';
import {
  type AnswerEvent,
  type AnswerRequest,
  allowedMsOf,
  type Embeddings,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelDescription,
  type Prompt,
  type Ranking,
  type ResumedAnswer,
  type TimeLimits,
  type Tokenized,
  type TokenizeRequest,
  timeoutSettingOf,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type AnswerReader, PlainReader } from '../prompt/answer-reader.js';
import type { ChatModel } from '../prompt/chat-model.js';
import { checkTokens } from '../token-engine/check-tokens.js';
import type { TokenEngine } from '../token-engine/token-engine.js';
import { AnswerBuffer } from './answer-buffer.js';
import type { BatchingObserver } from './batching-observer.js';
import { GrammarShelf } from './grammar-shelf.js';
import { LateAnswer } from './late-answer.js';
import { standingOf } from './plan-step.js';
import { allTokensOf, type ReadPrompt, readPrompt } from './read-prompt.js';
import { Reading } from './reading.js';
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
  /** What stands behind the engine's version: ` (q8_0)`. Absent: nothing. */
  readonly variant?: string;
  /** How this model is spoken to. */
  readonly chat: ChatModel;
  readonly samplingDefaults: SamplingDefaults;
  readonly maxTokensDefault: number | undefined;
  readonly limits: {
    readonly maxBatchSize: number;
    readonly queueMax: number;
    readonly prefillChunkTokens: number;
    readonly maxWaitMs: number;
    readonly priorityAgeingMs: number;
    readonly backgroundSteps: number;
    readonly stallTimeoutMs: number;
  } & TimeLimits;
  readonly observer: BatchingObserver;
  readonly logger: Logger;
  /** Called once, when the engine broke and cannot be used any more. */
  readonly onBroken: (error: unknown) => void;
}

/** A request that the engine can begin with. */
interface ReadRequest {
  readonly prompt: ReadPrompt;
  readonly openReader: () => AnswerReader;
}

/**
 * The engine that answers by batching: many sequences on one `TokenEngine`.
 *
 * Ownership: owns the token engine, and closes it. The chat model is the caller's.
 */
export class BatchingEngine implements Engine {
  /** Control tokens that are marks in this model's answers to chats. */
  readonly #marks: readonly number[];
  readonly #grammars: { readonly chat: GrammarShelf; readonly text: GrammarShelf };
  /** What is read, or was, for a request; others may hold the same prompt. */
  readonly #readings = new WeakMap<Prompt, Reading<ReadRequest>>();
  readonly #texts = new WeakMap<Prompt, ReadPrompt>();
  readonly #scheduler: Scheduler;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  /** Requests whose prompt is being prepared. */
  #preparing = 0;
  #broken = false;
  #arrivals = 0;

  constructor(
    private readonly tokenEngine: TokenEngine,
    private readonly options: BatchingOptions,
  ) {
    const { model } = tokenEngine;
    const { limits, observer, logger, chat } = options;
    this.#marks = chat.marks.flatMap((name) => tokenEngine.controlToken(name) ?? []);
    this.#grammars = { chat: new GrammarShelf(tokenEngine, this.#marks), text: new GrammarShelf(tokenEngine, []) };
    this.#scheduler = new Scheduler(
      tokenEngine,
      {
        placesMax: Math.min(limits.maxBatchSize, model.placesMax),
        prefillChunkTokens: limits.prefillChunkTokens,
        backgroundSteps: limits.backgroundSteps,
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
    const { model, variant = '' } = this.options;
    return { ...model, contextLength, engine: `${engine}${variant}` };
  }

  load(): EngineLoad {
    return { running: this.#scheduler.running, waiting: this.#scheduler.waiting + this.#preparing };
  }

  /** The sequence begins to wait at once, not at the first read. What refuses it is thrown by the first read. */
  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    try {
      signal.throwIfAborted();
      this.#checkOpen();
      const arrival: Arrival = { number: this.#arrivals++, atMs: performance.now() };
      const { prompt, format } = request;
      // Nothing to prepare: it joins the waiting in this turn.
      if (prompt.kind !== 'chat' && format === undefined) {
        return this.#submit(request, this.#readText(prompt, request, undefined), arrival, signal);
      }
      const leaving = new AbortController();
      return new LateAnswer(this.#prepare(request, arrival, signal, leaving), () => leaving.abort());
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

  async tokenize(request: TokenizeRequest): Promise<Tokenized> {
    const tokens = await this.#tokensOf(request);
    return { tokens, pieces: tokens.map((token) => this.tokenEngine.bytesOf(token)) };
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    checkTokens(tokens, this.tokenEngine.model, 'tokens');
    // By name, where the text of an answer leaves control tokens out: who asks wants to see what is there.
    return Buffer.concat(tokens.map((token) => this.tokenEngine.bytesOf(token))).toString('utf8');
  }

  async renderPrompt(prompt: Extract<Prompt, { kind: 'chat' }>): Promise<string> {
    return this.options.chat.render(prompt, this.#stop.signal);
  }

  async close(): Promise<void> {
    this.#stop.abort(new InferenceError('shutting_down', 'This worker stops. Send the request again.'));
    await this.#ended;
    await this.tokenEngine.close();
  }

  #cannot(code: 'embeddings_not_supported' | 'rerank_not_supported', what: string, capability: string): InferenceError {
    const { id } = this.options.model;
    const remedy = `Choose one whose capabilities in GET /v1/models have \`${capability}\`.`;
    return new InferenceError(code, `The model \`${id}\` generates text and ${what}. ${remedy}`, { param: 'model' });
  }

  #checkOpen(): void {
    this.#stop.signal.throwIfAborted();
    if (this.#broken) {
      throw new InferenceError('model_not_ready', 'The engine broke; this worker restarts.', { retryAfterSeconds: 5 });
    }
    this.#scheduler.checkRoom(this.#preparing);
  }

  async #tokensOf({ prompt, addSpecial, parseSpecial }: TokenizeRequest): Promise<readonly number[]> {
    if (prompt.kind === 'tokens') return prompt.tokens;
    if (prompt.kind === 'chat') {
      const text = await this.renderPrompt(prompt);
      // Who asks wants to know how much too long it is.
      if (text.length <= TOKENIZE_CHARACTERS_MAX) return allTokensOf(text, this.tokenEngine).tokens;
      return readPrompt({ kind: 'rendered', text }, this.tokenEngine, 0).tokens;
    }
    if (prompt.text.length > TOKENIZE_CHARACTERS_MAX) throw tooLongToTokenize(prompt.text.length);
    return this.tokenEngine.tokenize(prompt.text, { special: parseSpecial, beginning: addSpecial });
  }

  // --------------------------------------------------------------------------------------- from a request to a sequence

  /** Until it is submitted, it counts as one that waits. */
  async #prepare(
    request: AnswerRequest,
    arrival: Arrival,
    signal: AbortSignal,
    leaving: AbortController,
  ): Promise<AnswerBuffer> {
    const allowedMs = allowedMsOf(request, this.options.limits);
    const expiry = setTimeout(() => leaving.abort(expired(allowedMs, request.priority)), allowedMs);
    const stops = [signal, this.#stop.signal].map((each) => {
      const onAbort = () => leaving.abort(each.reason);
      each.addEventListener('abort', onAbort, { once: true });
      return () => each.removeEventListener('abort', onAbort);
    });
    this.#preparing++;
    try {
      const read = await this.#readingOf(request).result(leaving.signal);
      // Between the end of the reading and this turn: nobody would tell the sequence of what came before it.
      leaving.signal.throwIfAborted();
      return this.#submit(request, read, arrival, signal);
    } finally {
      this.#preparing--;
      clearTimeout(expiry);
      for (const unlisten of stops) unlisten();
    }
  }

  /** Requests that hold the same prompt and the same format, as the answers to one request do, wait for one reading. */
  #readingOf(request: AnswerRequest): Reading<ReadRequest> {
    const { prompt, format } = request;
    const known = this.#readings.get(prompt);
    if (known !== undefined && known.about === format && !known.failed) return known;
    const reading = new Reading(format, (signal) => this.#readRequest(request, signal));
    this.#readings.set(prompt, reading);
    return reading;
  }

  async #readRequest(request: AnswerRequest, signal: AbortSignal): Promise<ReadRequest> {
    const { prompt, format } = request;
    const { chat } = this.options;
    if (prompt.kind !== 'chat') {
      const grammar = format && (await chat.compile(format, signal));
      return this.#readText(prompt, request, grammar);
    }
    const prepared = await chat.prepare(prompt, format, signal);
    const rendered = { kind: 'rendered', text: prepared.text } as const;
    return { prompt: readPrompt(rendered, this.tokenEngine, 1), openReader: () => prepared.openReader() };
  }

  #readText(
    prompt: Exclude<Prompt, { kind: 'chat' }>,
    { maxTokens }: AnswerRequest,
    grammar: string | undefined,
  ): ReadRequest {
    const binding = grammar === undefined ? undefined : { grammar, derived: '' };
    return {
      prompt: this.#readTextOnce(prompt, maxTokens === 0 ? 0 : 1),
      openReader: () => new PlainReader(binding),
    };
  }

  #readTextOnce(prompt: Exclude<Prompt, { kind: 'chat' }>, room: 0 | 1): ReadPrompt {
    const known = this.#texts.get(prompt);
    if (known !== undefined) return known;
    const read = readPrompt(prompt, this.tokenEngine, room);
    this.#texts.set(prompt, read);
    return read;
  }

  #submit(request: AnswerRequest, read: ReadRequest, arrival: Arrival, signal: AbortSignal): AnswerBuffer {
    const sequence = this.#open(request, read, arrival, signal);
    this.#scheduler.submit(sequence);
    return sequence.answer;
  }

  #open(request: AnswerRequest, { prompt, openReader }: ReadRequest, arrival: Arrival, signal: AbortSignal): Sequence {
    const { limits, samplingDefaults, maxTokensDefault } = this.options;
    const { model } = this.tokenEngine;
    if (request.resume !== undefined) checkResume(request.resume, model);
    const room = model.contextLength - prompt.tokens.length;
    const chat = request.prompt.kind === 'chat';
    const grammars = chat ? this.#grammars.chat : this.#grammars.text;
    const reader = openReader();
    // What the engine refuses is said now; it is most likely still known when the sequence joins.
    if (reader.binding !== undefined) grammars.open(reader.binding.grammar);
    return new Sequence(
      {
        priority: request.priority,
        standing: standingOf(arrival.atMs, request.priority, limits.priorityAgeingMs),
        arrival: arrival.number,
        prompt,
        choosing: {
          sampling: resolveSampling(request.sampling, samplingDefaults, model, () => randomInt(2 ** 32)),
          logprobs: request.logprobs,
        },
        reader,
        spelled: chat ? this.#marks : [],
        grammarOf: (binding) => grammars.open(binding.grammar),
        completionTokensMax: Math.min(request.maxTokens ?? maxTokensDefault ?? room, room),
        stop: request.stop,
        echo: request.echo ?? false,
        resume: request.resume,
      },
      this.tokenEngine,
      {
        deadlineMs: Math.max(1, Math.ceil(allowedMsOf(request, limits) - (performance.now() - arrival.atMs))),
        stallTimeoutMs: limits.stallTimeoutMs,
        unreadTokensMax: UNREAD_TOKENS_MAX,
      },
      this.#scheduler,
      signal,
    );
  }
}

/**
 * What was delivered is gone through again token by token. Without their numbers the answer would begin again, and the
 * caller would have it twice; whoever began it may still be able to go on.
 */
function checkResume(resume: ResumedAnswer, model: TokenEngine['model']): void {
  const { tokens, unnumbered, text, reasoning, calls, citations } = resume;
  const known = tokens.every((token) => token < model.vocabularySize);
  if (known && !unnumbered && (tokens.length > 0 || !(text || reasoning || calls?.length || citations))) return;
  throw new InferenceError(
    'answer_broken_off',
    'The answer broke off, and not all of its tokens have numbers that this worker could go on from. Send the request again.',
  );
}

interface Arrival {
  /** Counted from 0. */
  readonly number: number;
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
}

function expired(allowedMs: number, priority: number): InferenceError {
  const allowed = allowedMs.toLocaleString('en-US');
  return new InferenceError(
    'deadline_exceeded',
    `The prompt was not even prepared after ${allowed} ms. Send a smaller one, or allow more time, up to ${timeoutSettingOf(priority)}.`,
  );
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
