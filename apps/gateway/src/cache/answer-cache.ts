import type { ModelCache, ModelDescription, Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { CacheMetrics } from '../metrics/cache-metrics.js';
import type { Call, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import { cacheKey } from './cache-key.js';
import { type CacheUse, cacheUse } from './cache-policy.js';
import { decodeAnswer, encodeAnswer, isWhole, type KeptAnswer } from './kept-answer.js';
import type { ResponseCache } from './response-cache.js';
import type { SemanticLookup } from './semantic-lookup.js';
import { StoreTrouble } from './store-trouble.js';

export interface AnswerCacheOptions {
  /** The setting `cache`. */
  readonly mode: Settings['cache'];
  /** What the models file says of a model, by its id. */
  readonly modelCache: (model: string) => ModelCache | undefined;
  readonly entryBytesMax: number;
  /** Nothing may be kept, whatever settings, models and requests say. */
  readonly closed?: boolean;
}

/** A request that the cache concerns. */
export interface CachedQuestion {
  readonly request: ValidAnswerRequest;
  readonly call: Call;
  readonly key: string;
  readonly use: CacheUse;
}

/** Of entries on their way to the store. Further ones are not kept. */
const PUT_BYTES_MAX = 32 * 1024 * 1024;

/** Finds answers and keeps them. Nothing that goes wrong with the store reaches a request: then nothing is found, and nothing kept. */
export class AnswerCache {
  readonly metrics = new CacheMetrics();
  readonly #stopGauge: () => void;
  /** Each by itself: a store that is full still gives what it has. */
  readonly #troubles = { get: new StoreTrouble(), put: new StoreTrouble() };
  #putBytes = 0;

  constructor(
    private readonly store: ResponseCache,
    private readonly semantic: SemanticLookup,
    private readonly options: AnswerCacheOptions,
    private readonly logger: Logger,
  ) {
    this.#stopGauge = this.metrics.watch(store);
  }

  /** Undefined: the cache is no concern of it. */
  questionOf(request: ValidAnswerRequest, call: Call): CachedQuestion | undefined {
    const { mode, modelCache, closed } = this.options;
    if (closed) return undefined;
    const use = cacheUse(request, call.cacheAsk, { mode, model: modelCache(request.model.id) });
    return use && { request, call, use, key: cacheKey(request, call.caller.keyId) };
  }

  /** What was kept for the same question. */
  async find({ key, request }: CachedQuestion): Promise<KeptAnswer | undefined> {
    const entry = await this.#ask('get', () => this.store.get(key));
    if (entry === undefined) return undefined;
    const answer = decodeAnswer(entry, sequencesOf(request));
    if (answer === undefined) this.metrics.failed('read');
    return answer;
  }

  /** What was kept for a question that means the same, where that is wanted. @throws the reason of `signal`. */
  async findAlike(question: CachedQuestion, signal: AbortSignal): Promise<KeptAnswer | undefined> {
    if (!question.use.semantic) return undefined;
    const key = await this.semantic.find(question.request, question.call, signal);
    return key === undefined ? undefined : this.find({ ...question, key });
  }

  /** Keeps an answer that can be kept. Resolves when the store has it, or will not have it; requests do not wait for that. */
  async keep(
    { key, request, call, use }: CachedQuestion,
    answeredBy: ModelDescription,
    events: readonly SequenceEvent[],
  ): Promise<void> {
    // It would stand in for the model as long as it is kept, and not only while that is away.
    if (answeredBy.id !== request.model.id) return this.metrics.notKept('stand_in');
    if (!isWhole(events, sequencesOf(request))) return this.metrics.notKept('incomplete');
    const entry = encodeAnswer({ model: answeredBy.id, engine: answeredBy.engine, events });
    if (entry.byteLength > this.options.entryBytesMax) return this.metrics.notKept('too_large');
    if (this.#putBytes + entry.byteLength > PUT_BYTES_MAX) return this.metrics.notKept('busy');
    this.#putBytes += entry.byteLength;
    const kept = await this.#ask('put', async () => {
      await this.store.put(key, entry);
      return true;
    });
    this.#putBytes -= entry.byteLength;
    if (kept && use.semantic) this.semantic.note(request, call, key);
  }

  async close(): Promise<void> {
    this.#stopGauge();
    await this.semantic.close();
    await this.store.close();
  }

  /** Undefined where it failed, and for a while after it did: a store that hangs would cost every request its time-out. */
  async #ask<T>(operation: 'get' | 'put', call: () => Promise<T | undefined>): Promise<T | undefined> {
    const trouble = this.#troubles[operation];
    if (trouble.keepsAway()) {
      this.metrics.failed(operation);
      return undefined;
    }
    try {
      const result = await call();
      if (trouble.ended()) this.logger.info(`${WHAT_FAILS[operation].again}.`);
      return result;
    } catch (error) {
      this.metrics.failed(operation);
      // Only the message: errors of a store carry the command, and so the text.
      const reason = error instanceof Error ? error.message : String(error);
      const { now, instead } = WHAT_FAILS[operation];
      if (trouble.began()) this.logger.warn(`${now} (${reason}): ${instead} until they can.`);
      return undefined;
    }
  }
}

const WHAT_FAILS = {
  get: {
    now: "Kept answers can't be had",
    instead: 'requests are run instead',
    again: 'Kept answers can be had again',
  },
  put: { now: "Answers can't be kept", instead: 'they are given without', again: 'Answers can be kept again' },
} as const;

function sequencesOf({ prompts, bestOf }: ValidAnswerRequest): number {
  return prompts.length * bestOf;
}
