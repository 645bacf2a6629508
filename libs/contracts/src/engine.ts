/**
 * The seam between what serves requests and what computes answers.
 *
 * An engine takes a request and gives events; it may be `apps/worker/src/batching` (tokens, steps and llama.cpp) or a
 * server beside the worker that speaks OpenAI's protocol. Nothing here knows of HTTP, of gRPC or of a batch.
 */

/** How the next token is chosen; absent fields take the model's default, then OpenAI's. Ranges: `protocol` Sampling. */
export interface Sampling {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly minP?: number | undefined;
  readonly seed?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
}

/** What the answer is an answer to. */
export type Prompt =
  | {
      readonly kind: 'chat';
      /** OpenAI's messages, validated; plain JSON, since the model's chat template reads them as such. */
      readonly messages: readonly Readonly<Record<string, unknown>>[];
      /** OpenAI's tools, or none. */
      readonly tools: readonly Readonly<Record<string, unknown>>[];
      /** Further variables for the template (`chat_template_kwargs`). */
      readonly templateVariables: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

/** One answer that is asked for: a sequence in the making. */
export interface AnswerRequest {
  /** The caller's `x-request-id`, for logs. */
  readonly requestId: string;
  readonly model: string;
  readonly prompt: Prompt;
  readonly sampling: Sampling;
  /** The most tokens to generate, resumed ones included. Absent: the model's default, else until the context is full. */
  readonly maxTokens?: number | undefined;
  /** Up to four texts that end the answer and are never part of it. */
  readonly stop: readonly string[];
  /** What an earlier attempt has already delivered: the answer goes on after it. */
  readonly resume?: { readonly tokens: readonly number[]; readonly text: string } | undefined;
  /** Milliseconds from now until the answer fails with `deadline_exceeded`. Absent: the engine's own limit. */
  readonly deadlineMs?: number | undefined;
  /** Higher runs sooner; 0 is ordinary. */
  readonly priority: number;
}

export type FinishReason = 'stop' | 'length';

/** Tokens as the engine counted them. */
export interface Usage {
  readonly promptTokens: number;
  /** Every token the engine chose: resumed ones, those behind a stop text, and the one that ended the answer. */
  readonly completionTokens: number;
  /** How many of the prompt's tokens were already in the engine's cache. */
  readonly cachedTokens: number;
}

/** In this order: `begun` once, any number of `tokens`, `finished` once. A failure is thrown as an `InferenceError`. */
export type AnswerEvent =
  | { readonly kind: 'begun'; readonly promptTokens: number; readonly cachedTokens: number; readonly waitedMs: number }
  | {
      readonly kind: 'tokens';
      readonly tokens: readonly number[];
      /** Whole characters only; may lag behind `tokens`, and may be empty. */
      readonly text: string;
    }
  | { readonly kind: 'finished'; readonly reason: FinishReason; readonly usage: Usage };

export type ModelCapability = 'chat' | 'completion' | 'embedding';

export interface ModelDescription {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Tokens a sequence may hold, prompt and answer together. */
  readonly contextLength: number;
  readonly capabilities: readonly ModelCapability[];
  /** The engine's name and version, such as `llama.cpp v0.5.0`. */
  readonly engine: string;
  /** Unix seconds: the model file's time. */
  readonly created: number;
  readonly samplingDefaults: Sampling;
  readonly maxTokensDefault?: number | undefined;
  /** Answers requests that name no model. */
  readonly isDefault: boolean;
}

/** How full an engine is. */
export interface EngineLoad {
  readonly running: number;
  readonly waiting: number;
}

export interface Engine {
  /** The model this engine answers for. */
  describe(): ModelDescription;
  load(): EngineLoad;
  /**
   * One answer, event by event. A consumer that does not ask for the next event pauses its own sequence and no other.
   * Aborting `signal`, or returning the iterator, frees the place before the next step.
   *
   * @throws InferenceError `context_length_exceeded`, `rate_limit_exceeded` (no room to wait), `deadline_exceeded`,
   *   `invalid_request` (the template refuses the messages), `internal_error`.
   */
  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent>;
  /** Fails what waits, lets nothing new in, and resolves when the engine's memory is free. */
  close(): Promise<void>;
}
