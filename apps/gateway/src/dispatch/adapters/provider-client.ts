import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AnswerEvent,
  type EmbedRequest,
  InferenceError,
  type ModelDescription,
  type Ranking,
  type RerankRequest,
  type TimeLimits,
  type Tokenized,
} from '@millrace/contracts';
import { type OpenAiEngine, openOpenAiEngine, type Ping, PRESETS, type ProviderPing } from '@millrace/openai-engine';
import { Doorbell, type Logger } from '@millrace/runtime';
import type { SequenceEvent, WorkerPhase, WorkerState } from '../../vocabulary.js';
import { AnswersInTurn } from '../answers-in-turn.js';
import { ContentCheck } from '../content-check.js';
import type { ProviderModel } from '../provider-models.js';
import type { Provider, ProviderTrouble } from '../providers.js';
import { WorkCalls } from '../work-calls.js';
import type {
  AnswerAttempt,
  AttemptSequence,
  DetokenizeWork,
  RenderWork,
  TokenizeWork,
  Vectors,
} from '../worker-client.js';

export interface ProviderClientOptions {
  readonly model: ProviderModel;
  /** If not, it counts as ready from the first, and is asked how it is only once an answer has failed. */
  readonly pingsAtStart: boolean;
  /** Asks the provider how it is; several models of one provider may share what it says. */
  ping(signal: AbortSignal): Promise<ProviderPing>;
  /** Where the key is, and a proxy for HTTPS; nothing else is read from it. */
  readonly environment: NodeJS.ProcessEnv;
  readonly limits: TimeLimits;
  readonly logger: Logger;
}

/** Sequences that wait for one of `maxConcurrent` places at the provider; how many requests there are, admission bounds before. */
const QUEUE_MAX = 4_096;
/** Pauses between pings of a provider that is lost: doubled each time, from the first to the last. */
const PING_DELAY_MS_MIN = 1_000;
const PING_DELAY_MS_MAX = 10_000;
/** For so long a provider may ask us to wait where another model may be asked in place of its. */
const RETRY_AFTER_MS_MAX_STOOD_IN = 1_000;
/** While it loads. */
const LOADING_PING_MS = 500;

/**
 * A provider's model, served by the gateway itself: a worker without a process.
 *
 * What the provider does decides its phase. It is `ready` while pings say that it is there and takes the key; a ping that says
 * otherwise makes it `lost`, and it is pinged again until it is back. An answer that fails for want of a connection or for
 * the key makes it be pinged at once: one answer's bad luck is no verdict.
 *
 * Ownership: owns its engine, and with that its connections.
 * Concurrency: one loop (`#tend`) pings, opens the engine and changes the phase; answers only ring its bell.
 */
export class ProviderClient implements Provider {
  readonly address: string;
  readonly heard = true; // The models file says what it serves.
  readonly #bell = new Doorbell();
  readonly #stop = new AbortController();
  readonly #watchers = new Set<() => void>();
  /** Of requests that are no answers. */
  readonly #calls = new WorkCalls();
  readonly #heardOnce = Promise.withResolvers<void>();
  #sequences = 0;
  #engine: OpenAiEngine | undefined;
  #models: readonly [ModelDescription];
  #phase: WorkerPhase = 'connecting';
  #detail = 'it was not asked yet';
  #retiring = false;
  #onIdle: (() => void) | undefined;

  constructor(private readonly options: ProviderClientOptions) {
    const { model } = options;
    this.address = `provider:${model.upstream.preset}/${model.id}`;
    this.#models = [described(model)];
    void this.#tend();
  }

  get models(): readonly ModelDescription[] {
    return this.#models;
  }

  get trouble(): ProviderTrouble | undefined {
    if (this.#phase === 'connecting' || this.#phase === 'draining' || this.#detail === '') return undefined;
    return { isWrong: this.#phase === 'lost', sentence: this.#detail };
  }

  get givenUp(): string | undefined {
    if (this.#phase !== 'lost') return undefined;
    return `its provider, ${this.options.model.upstream.preset}, can not be asked`;
  }

  get heardOnce(): Promise<void> {
    return this.#heardOnce.promise;
  }

  state(): WorkerState {
    const { running = 0, waiting = 0 } = this.#engine?.load() ?? {};
    return {
      address: this.address,
      phase: this.#phase,
      detail: this.#detail,
      version: '',
      running,
      waiting,
      outstanding: this.#sequences + this.#calls.size,
      models: this.#models,
    };
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  answer(attempt: AnswerAttempt, signal: AbortSignal): AsyncIterable<SequenceEvent> {
    const engine = this.#ready();
    const { sequences } = attempt;
    this.#sequences += sequences.length;
    return new AnswersInTurn(
      sequences.map((sequence) => {
        const { index, prompt, resume } = sequence;
        const events = this.#events(engine, attempt, sequence, signal);
        return { index, events, check: new ContentCheck(prompt, resume) };
      }),
      signal,
      () => {
        this.#sequences -= sequences.length;
        this.#noteIdle();
      },
    );
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Vectors> {
    const { vectors, promptTokens } = await this.#call(signal, (engine, left) => engine.embed(request, left));
    return {
      vectors: vectors.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
      promptTokens,
    };
  }

  rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    return this.#call(signal, (engine, left) => engine.rerank(request, left));
  }

  tokenize(request: TokenizeWork, signal: AbortSignal): Promise<Tokenized> {
    return this.#call(signal, (engine, left) => engine.tokenize(request, left));
  }

  detokenize(request: DetokenizeWork, signal: AbortSignal): Promise<string> {
    return this.#call(signal, (engine, left) => engine.detokenize(request.tokens, request, left));
  }

  renderPrompt(request: RenderWork, signal: AbortSignal): Promise<string> {
    return this.#call(signal, (engine, left) => engine.renderPrompt(request.prompt, request, left));
  }

  /** Takes nothing new, lets what runs come to its end, and closes. Every answer has a deadline, and so has this. */
  async retire(): Promise<void> {
    this.#retiring = true;
    this.#enter('draining', 'the models file has another entry in its place');
    if (this.#busy) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new InferenceError('shutting_down', 'The gateway closes its connection to the provider.'));
    this.#heardOnce.resolve();
    this.#bell.ring(); // The loop sees that it is over.
    this.#enter('lost', 'closed');
    this.#calls.giveUpAll(providerLost());
    await this.#engine?.close();
    this.#onIdle?.();
  }

  #ready(): OpenAiEngine {
    if (this.#phase === 'ready' && this.#engine !== undefined) return this.#engine;
    throw new InferenceError('worker_lost', `The provider is ${this.#phase} just now. Send the request again.`);
  }

  get #busy(): boolean {
    return this.#sequences + this.#calls.size > 0;
  }

  #noteIdle(): void {
    if (this.#retiring && !this.#busy) this.#onIdle?.();
  }

  // --------------------------------------------------------------------------------------------------------- the work

  #events(
    engine: OpenAiEngine,
    attempt: AnswerAttempt,
    { prompt, promptIndex, seed, resume }: AttemptSequence,
    signal: AbortSignal,
  ): AsyncIterator<AnswerEvent> {
    // The caller's trace is no business of a company far away.
    const { sequences: _, attempt: __, trace: ___, mayBeStoodIn, ...request } = attempt;
    const sampling = { ...request.sampling, seed };
    const retryAfterMsMax = mayBeStoodIn ? RETRY_AFTER_MS_MAX_STOOD_IN : undefined;
    const events = engine
      .answer({ ...request, sampling, prompt, resume, retryAfterMsMax }, signal)
      [Symbol.asyncIterator]();
    return {
      next: () => events.next().catch((error: unknown) => Promise.reject(this.#failure(error, promptIndex))),
      return: async () => {
        await events.return?.();
        return { done: true, value: undefined };
      },
    };
  }

  async #call<R>(signal: AbortSignal, ask: (engine: OpenAiEngine, left: AbortSignal) => Promise<R>): Promise<R> {
    const engine = this.#ready();
    const leaving = new AbortController();
    try {
      return await this.#calls.run<R>((end) => {
        ask(engine, leaving.signal).then(end.resolve, (error) => end.reject(this.#failure(error)));
        return () => leaving.abort(providerLost());
      }, signal);
    } finally {
      this.#noteIdle();
    }
  }

  /** In words of the port; and whether it says something of the provider is looked into. */
  #failure(error: unknown, promptIndex?: number): unknown {
    if (!(error instanceof InferenceError)) return error;
    const { code, message, details } = error;
    if (code === 'shutting_down' && this.#stop.signal.aborted) return providerLost(error);
    if (code === 'upstream_unauthorized' || code === 'model_not_ready') this.#bell.ring();
    // It gets one prompt at a time: which of several it means is ours to say.
    if (details.param !== 'prompt' || promptIndex === undefined) return error;
    return new InferenceError(code, message, { ...details, param: `prompt[${promptIndex}]` });
  }

  // ------------------------------------------------------------------------------------------------------- the provider

  async #tend(): Promise<void> {
    const { signal } = this.#stop;
    let delayMs = PING_DELAY_MS_MIN;
    try {
      if (!this.options.pingsAtStart) await this.#judge(undefined);
      else await this.#judge(await this.options.ping(signal));
      for (;;) {
        this.#heardOnce.resolve();
        const pingedMs = performance.now();
        if (this.#phase === 'ready') {
          delayMs = PING_DELAY_MS_MIN;
          await this.#bell.heard();
          // A provider that is down fails every answer, and one ping a second says as much as a thousand.
          await sleep(Math.max(0, pingedMs + PING_DELAY_MS_MIN - performance.now()), undefined, { signal });
        } else {
          const pauseMs = this.#phase === 'loading' ? LOADING_PING_MS : delayMs * (0.5 + Math.random() / 2);
          await sleep(pauseMs, undefined, { signal });
          delayMs = Math.min(PING_DELAY_MS_MAX, 2 * delayMs);
        }
        await this.#judge(await this.options.ping(signal));
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #judge(ping: ProviderPing | undefined): Promise<void> {
    this.#stop.signal.throwIfAborted();
    if (ping?.verdict === 'wrong') return this.#enter('lost', ping.sentence);
    const doubt = ping?.verdict === 'doubtful' ? ping.sentence : '';
    if (ping?.ping.kind === 'loading') return this.#enter('loading', doubt);
    try {
      this.#engine ??= await this.#openEngine(ping?.ping ?? 'off');
    } catch (error) {
      // Not pinged, it is first looked at here: the sentence is of a key or an address that is missing.
      return this.#enter('lost', error instanceof Error ? error.message : String(error));
    }
    this.#models = [{ ...described(this.options.model), contextLength: this.#engine.describe().contextLength }];
    this.#enter('ready', doubt);
  }

  #openEngine(pinged: Ping | 'off'): Promise<OpenAiEngine> {
    const { model, environment, limits, logger } = this.options;
    const { id, upstream } = model;
    return openOpenAiEngine(
      {
        model: described(model),
        upstream,
        pinged,
        environment,
        limits: { ...limits, queueMax: QUEUE_MAX },
        logger,
        report: (sentence) => logger.warn({ model: id }, sentence),
      },
      this.#stop.signal,
    );
  }

  #enter(phase: WorkerPhase, detail: string): void {
    const closed = this.#stop.signal.aborted;
    if (this.#retiring && phase !== 'draining' && !closed) return;
    if (phase !== this.#phase && !closed) {
      this.options.logger.info(
        { worker: this.address, was: this.#phase, detail: detail || undefined },
        `worker ${phase}`,
      );
    }
    this.#phase = phase;
    this.#detail = detail;
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function described({
  id,
  aliases,
  isDefault,
  context,
  sampling,
  maxTokens,
  upstream,
}: ProviderModel): ModelDescription {
  const { preset, capabilities, model = id } = upstream;
  return {
    id,
    aliases,
    isDefault,
    contextLength: context ?? 0,
    capabilities: capabilities ?? (PRESETS[preset].text.completions ? ['chat', 'completion'] : ['chat']),
    engine: `openai-compatible: ${preset}`,
    created: 0,
    samplingDefaults: sampling,
    maxTokensDefault: maxTokens,
    provider: { name: preset, model },
  };
}

function providerLost(cause?: unknown): InferenceError {
  const sentence = 'The connection to the provider was closed while it was answering. Send the request again.';
  return new InferenceError('worker_lost', sentence, { cause });
}
