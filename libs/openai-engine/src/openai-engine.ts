import {
  type AnswerEvent,
  type AnswerRequest,
  allowedMsOf,
  type Embeddings,
  type EmbedRequest,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelCapability,
  type ModelDescription,
  type Prompt,
  type Ranking,
  type RerankRequest,
  type TimedRequest,
  type TimeLimits,
  type Tokenized,
  type TokenizeRequest,
  type TraceContext,
  timeoutSettingOf,
  type WorkRequest,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { AnswerChunks, type ChunkTerms, guessTokens, parsedJson } from './answer-chunks.js';
import { AnswerSource } from './answer-source.js';
import { CallScope } from './call-scope.js';
import { FailureLog } from './failure-log.js';
import type { Preset } from './presets.js';
import { rankingIn } from './ranking.js';
import { retrying } from './retry.js';
import { openTokenCalls, type TokenCalls } from './token-calls.js';
import { UpstreamAnswer } from './upstream-answer.js';
import { tokensOf, type UpstreamBody, upstreamBody } from './upstream-body.js';
import type { UpstreamClient, UpstreamResponse } from './upstream-client.js';
import { failureOfEvent, failureOfStatus, noAnswer, sentence, type UpstreamSubject } from './upstream-failure.js';
import { embeddingCalls, joinVectors, shortened, vectorsIn } from './vectors.js';
import { WaitingLine } from './waiting-line.js';

/** What an engine is made of; `openOpenAiEngine` puts it together. */
export interface EngineParts {
  readonly model: ModelDescription;
  readonly preset: Preset;
  readonly subject: UpstreamSubject;
  readonly upstreamModel: string;
  readonly client: UpstreamClient;
  readonly limits: {
    readonly maxConcurrent: number;
    readonly queueMax: number;
    readonly retriesMax: number;
  } & TimeLimits;
  readonly logger: Logger;
}

/** An answer, and how patient whoever asks for it is. */
export interface PatientRequest extends AnswerRequest {
  /** For so long the upstream may ask us to wait before it is asked again. */
  readonly retryAfterMsMax?: number | undefined;
}

const RETRY_AFTER_MS_MAX = 30_000;
const ERROR_BYTES_MAX = 64 * 1024;
/** How long a failure's sentence is waited for; its status is known. */
const ERROR_MS_MAX = 2_000;
/** Vectors of 64 inputs come in under 8 MB, as texts of numbers. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** Of calls about tokens, for whom and for how long. Without a priority they are ordinary. */
type TokenWork = Partial<Pick<EmbedRequest, 'requestId' | 'deadlineMs' | 'priority'>>;

const NEVER = new AbortController().signal;

const LACKS: Readonly<Record<ModelCapability, readonly [InferenceError['code'], string]>> = {
  chat: ['generation_not_supported', 'answers no chats'],
  completion: ['generation_not_supported', 'continues no texts'],
  embedding: ['embeddings_not_supported', 'makes no vectors'],
  rerank: ['rerank_not_supported', 'scores no documents'],
};

/**
 * The engine that has another server answer, over OpenAI's protocol.
 *
 * Ownership: owns its connections, and closes them. Each answer owns one response of the upstream.
 */
export class OpenAiEngine implements Engine {
  readonly #line: WaitingLine;
  readonly #calls = new Set<CallScope>();
  readonly #failures: FailureLog;
  #closedBy: InferenceError | undefined;

  constructor(private readonly parts: EngineParts) {
    const { maxConcurrent, queueMax } = parts.limits;
    this.#line = new WaitingLine({ concurrentMax: maxConcurrent, queueMax });
    this.#failures = new FailureLog(parts.subject, parts.logger);
  }

  describe(): ModelDescription {
    return this.parts.model;
  }

  load(): EngineLoad {
    return { running: this.#line.running, waiting: this.#line.waiting };
  }

  answer(request: PatientRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    const limit = request.maxTokens ?? this.parts.model.maxTokensDefault;
    const resumed = tokensOf(request.resume);
    // It broke off between its last token and its end; a server can't be asked for nothing.
    if (resumed > 0 && limit !== undefined && resumed >= limit) return endedAtItsLimit(request.prompt, resumed);
    let body: UpstreamBody;
    return new UpstreamAnswer({
      openScope: () => this.#open(request, signal),
      enter: async (scope) => {
        // Refused before it waits.
        body = this.#bodyOf(request);
        return this.#line.enter(request.priority, scope.signal);
      },
      begin: (scope) =>
        this.#retrying(request.requestId, scope, () => this.#begin(body, request, scope), request.retryAfterMsMax),
      brokeOff: (failure) => this.#failures.tell(request.requestId, failure, undefined),
      // An answer that goes on has given its prompt back before.
      echo: async (scope) => (request.echo && request.resume === undefined ? this.#echoOf(request, scope) : undefined),
    });
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings> {
    this.#need('embedding', this.parts.preset.embeddings);
    const { upstreamModel, subject } = this.parts;
    return this.#work(request, signal, async (scope) => {
      const parts = [];
      for (const body of embeddingCalls(request, upstreamModel)) {
        const read = (reply: unknown) => vectorsIn(reply, body.input.length, subject);
        parts.push(await this.#ask('/embeddings', body, request, scope, read));
      }
      const { vectors, promptTokens } = joinVectors(parts);
      return { vectors: shortened(vectors, request.dimensions), promptTokens: promptTokens ?? guessOf(request) };
    });
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    this.#need('rerank', this.parts.preset.rerank);
    const { query, documents } = request;
    const body = { model: this.parts.upstreamModel, query, documents, top_n: documents.length };
    const read = (reply: unknown) => rankingIn(reply, request, this.parts.subject);
    return this.#work(request, signal, (scope) => this.#ask('/rerank', body, request, scope, read));
  }

  /** @param signal as of `embed`; the Engine seam has none for what is quick in one's own process. */
  async tokenize(request: TokenizeRequest, signal: AbortSignal = NEVER): Promise<Tokenized> {
    return this.#tokenWork(request, signal, (calls) => calls.tokenize(request));
  }

  async detokenize(tokens: readonly number[], work: TokenWork = {}, signal: AbortSignal = NEVER): Promise<string> {
    return this.#tokenWork(work, signal, (calls) => calls.detokenize(tokens));
  }

  async renderPrompt(
    prompt: Extract<Prompt, { kind: 'chat' }>,
    work: TokenWork = {},
    signal: AbortSignal = NEVER,
  ): Promise<string> {
    return this.#tokenWork(work, signal, (calls) => calls.renderPrompt(prompt));
  }

  /** Fails what waits and what runs. */
  async close(): Promise<void> {
    this.#closedBy = new InferenceError(
      'shutting_down',
      'The connection to this server is being closed. Send the request again.',
    );
    this.#line.close(this.#closedBy);
    for (const scope of [...this.#calls]) scope.leave(this.#closedBy);
    this.parts.client.close();
  }

  // -------------------------------------------------------------------------------------------------------- answers

  #bodyOf(request: AnswerRequest): UpstreamBody {
    const { preset, subject, upstreamModel, model } = this.parts;
    if (request.prompt.kind === 'chat') this.#need('chat');
    else this.#need('completion', preset.text.completions);
    return upstreamBody(request, {
      preset,
      presetName: subject.preset,
      upstreamModel,
      samplingDefaults: model.samplingDefaults,
      maxTokensDefault: model.maxTokensDefault,
    });
  }

  /** The upstream's answer up to what it says first: until then it may be asked again. */
  async #begin(
    { path, json }: UpstreamBody,
    request: AnswerRequest,
    scope: CallScope,
  ): Promise<{ source: AnswerSource; first: AnswerEvent | undefined }> {
    const { client, subject } = this.parts;
    const call = { method: 'POST', url: client.urlOf(path), body: json, trace: request.trace } as const;
    const response = await client.send(call, scope.signal);
    await this.#checkStatus(response);
    const source = new AnswerSource(response, new AnswerChunks(this.#chunkTerms(request)), subject);
    try {
      return { source, first: await source.next() };
    } catch (error) {
      source.close();
      throw error;
    }
  }

  #chunkTerms({ prompt, logprobs, stop, resume }: AnswerRequest): ChunkTerms {
    const { preset, subject } = this.parts;
    const oneCall = prompt.kind === 'chat' && prompt.parallelCalls === false;
    return {
      subject,
      prompt,
      logprobs,
      callsMax: oneCall ? 1 : CALLS_MAX,
      stops: stop,
      stopIncluded: preset.stopIncluded === true,
      promptTokensGuess: guessOfPrompt(prompt),
      resumedTokens: tokensOf(resume),
      readAgainTokens: resume?.text ? tokensOf(resume) : 0,
    };
  }

  async #echoOf({ prompt, requestId }: AnswerRequest, scope: CallScope): Promise<string> {
    if (prompt.kind === 'text') return prompt.text;
    if (prompt.kind === 'chat') return '';
    // Asked within the answer's own time: it ends with who asked.
    return this.#tokenCalls(requestId, scope).detokenize(prompt.tokens);
  }

  // ----------------------------------------------------------------------------------------------------- other work

  /** Within the limits that answers have. */
  async #work<Result>(
    request: TimedRequest,
    signal: AbortSignal,
    work: (scope: CallScope) => Promise<Result>,
  ): Promise<Result> {
    const scope = this.#open(request, signal);
    try {
      const permit = await this.#line.enter(request.priority, scope.signal);
      try {
        return await work(scope);
      } finally {
        permit.release();
      }
    } finally {
      scope.close();
    }
  }

  /** @param read what it makes of a reply is tried again like anything else that the upstream does. */
  #ask<Result>(
    path: string,
    body: object,
    { requestId, trace }: WorkRequest,
    scope: CallScope,
    read: (reply: unknown) => Result,
  ): Promise<Result> {
    const url = this.parts.client.urlOf(path);
    return this.#retrying(requestId, scope, async () => read(await this.#reply(url, body, scope, trace)));
  }

  async #reply(url: URL, body: object, scope: CallScope, trace?: TraceContext): Promise<unknown> {
    const { client, subject } = this.parts;
    const response = await client.send({ method: 'POST', url, body: JSON.stringify(body), trace }, scope.signal);
    await this.#checkStatus(response);
    try {
      const reply = parsedJson(await response.text(BODY_BYTES_MAX), subject);
      if ((reply as { error?: unknown } | null)?.error) throw failureOfEvent(reply, subject);
      return reply;
    } finally {
      response.close();
    }
  }

  #tokenCalls(requestId: string, scope: CallScope): TokenCalls {
    const calls = openTokenCalls(this.parts, (url, body) =>
      this.#retrying(requestId, scope, () => this.#reply(url, body, scope)),
    );
    if (calls !== undefined) return calls;
    const { model, subject } = this.parts;
    throw new InferenceError(
      'tokenization_not_supported',
      `The model \`${model.id}\` runs on another server (${subject.preset}), which does not tell how it tokenises. Choose a model that runs in a worker.`,
      { param: 'model' },
    );
  }

  /** Beside the limits: it is quick, and would wait behind long answers. */
  async #tokenWork<Result>(
    { requestId = '', deadlineMs, priority = 0 }: TokenWork,
    signal: AbortSignal,
    work: (calls: TokenCalls) => Promise<Result>,
  ): Promise<Result> {
    const scope = this.#open({ deadlineMs, priority }, signal);
    try {
      return await work(this.#tokenCalls(requestId, scope));
    } finally {
      scope.close();
    }
  }

  // ----------------------------------------------------------------------------------------------------------- both

  #open(request: TimedRequest, signal: AbortSignal): CallScope {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const limit = { setting: timeoutSettingOf(request.priority), ms: allowedMsOf(request, this.parts.limits) };
    return new CallScope(limit, signal, this.#calls);
  }

  #need(capability: ModelCapability, there = true): void {
    const { id, capabilities } = this.parts.model;
    if (there && capabilities.includes(capability)) return;
    const [code, lacks] = LACKS[capability];
    const remedy = `Choose one whose capabilities in GET /v1/models have \`${capability}\`.`;
    throw new InferenceError(code, `The model \`${id}\` ${lacks}. ${remedy}`, { param: 'model' });
  }

  /** @throws UpstreamFailure for every status but 200, and for what is compressed: it could be of any size. */
  async #checkStatus(response: UpstreamResponse): Promise<void> {
    const { status, headers, contentType } = response;
    const { subject } = this.parts;
    const encoding = String(headers['content-encoding'] || 'identity');
    if (encoding !== 'identity') {
      response.close();
      const named = sentence(encoding, subject.secret).slice(0, 20);
      throw noAnswer(`bytes in ${named}, which nobody asked for`, subject);
    }
    if (status === 200) return;
    try {
      const body = contentType.startsWith('text/html') ? '' : await response.head(ERROR_BYTES_MAX, ERROR_MS_MAX);
      throw failureOfStatus(status, headers, body, subject);
    } finally {
      response.close();
    }
  }

  async #retrying<Result>(
    requestId: string,
    scope: CallScope,
    attempt: () => Promise<Result>,
    retryAfterMsMax = RETRY_AFTER_MS_MAX,
  ): Promise<Result> {
    return retrying(attempt, {
      retriesMax: this.parts.limits.retriesMax,
      deadlineAtMs: scope.deadlineAtMs,
      signal: scope.signal,
      retryAfterMsMax,
      onFailure: (failure, nextInMs) => this.#failures.tell(requestId, failure, nextInMs),
    });
  }
}

/** As many as a request may have tools. */
const CALLS_MAX = 128;

function guessOfPrompt(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.tokens.length;
  if (prompt.kind === 'text') return guessTokens(prompt.text);
  return guessTokens(prompt.messages.map(({ content }) => (typeof content === 'string' ? content : '')).join('\n'));
}

async function* endedAtItsLimit(prompt: Prompt, completionTokens: number): AsyncGenerator<AnswerEvent> {
  const promptTokens = guessOfPrompt(prompt);
  yield { kind: 'begun', promptTokens, cachedTokens: 0, waitedMs: 0 };
  yield { kind: 'finished', reason: 'length', usage: { promptTokens, completionTokens, cachedTokens: 0 } };
}

function guessOf({ inputs }: EmbedRequest): number {
  return inputs.reduce((sum, input) => sum + guessOfPrompt(input), 0);
}
