/**
 * The seam between what serves requests and what computes answers.
 *
 * An engine takes a request and gives events, vectors or scores; it may be `apps/worker/src/batching` (tokens, steps and llama.cpp) or a
 * server beside the worker that speaks OpenAI's protocol. Nothing here knows of HTTP, of gRPC or of a batch.
 */

/** W3C trace context, checked: https://www.w3.org/TR/trace-context/. */
export interface TraceContext {
  readonly traceparent: string;
  /** Vendors' additions, as they came; empty when there were none. */
  readonly tracestate: string;
}

/** How the next token is chosen; absent fields take the model's default, then OpenAI's. Ranges: `protocol` Sampling. */
export interface Sampling {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly minP?: number | undefined;
  readonly seed?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly repeatPenalty?: number | undefined;
  readonly repeatLastN?: number | undefined;
  readonly dryMultiplier?: number | undefined;
  readonly dryBase?: number | undefined;
  readonly dryAllowedLength?: number | undefined;
  readonly dryLastN?: number | undefined;
  readonly drySequenceBreakers?: readonly string[] | undefined;
  readonly xtcProbability?: number | undefined;
  readonly xtcThreshold?: number | undefined;
  readonly logitBias?: readonly TokenBias[] | undefined;
  readonly ignoreEos?: boolean | undefined;
}

/** Added to a token's logit before everything else; -100 bans it, 100 all but forces it. */
export interface TokenBias {
  readonly token: number;
  readonly bias: number;
}

/** What the text of an answer must be. An answer that ends with `stop`, and not by a stop text, obeys it. */
export type OutputFormat =
  /** A JSON object, any. */
  | { readonly kind: 'json' }
  /** What the schema allows; docs/reference/structured-output.md says which keywords it may use. */
  | { readonly kind: 'schema'; readonly schema: Readonly<Record<string, unknown>> | boolean }
  /** What the grammar derives, in llama.cpp's GBNF, from its rule `root`. */
  | { readonly kind: 'grammar'; readonly grammar: string };

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
      /** Whether the answer must, may or must not call a tool. Absent: `auto`. Not `none` while there are tools. */
      readonly toolChoice?: ToolChoice | undefined;
      /** Whether one answer may call several times. Absent: true. */
      readonly parallelCalls?: boolean | undefined;
      /** What the answer should be grounded in, as the template reads it: objects of texts, such as `title` and `text`. */
      readonly documents?: readonly Readonly<Record<string, unknown>>[] | undefined;
      /** The last message is the assistant's and unfinished: the answer goes on with it, and begins behind it. */
      readonly continueFinal?: boolean | undefined;
      /** How much the model should think before it answers. Absent: as its template does by itself. */
      readonly reasoningEffort?: ReasoningEffort | undefined;
      /** What a template that asks for the time is told, in Unix seconds. Absent: the engine's own clock. */
      readonly nowSeconds?: number | undefined;
    }
  | {
      readonly kind: 'text';
      readonly text: string;
      /** What comes after the answer: the model fills the gap between `text` and this. */
      readonly suffix?: string | undefined;
    }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string };

export const REASONING_EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const;
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number];

/** What callers may ask for, at OpenAI and Anthropic alike. */
export const EFFORTS_ASKED = [...REASONING_EFFORTS, 'max'] as const;
export type EffortAsked = (typeof EFFORTS_ASKED)[number];

/** No template and no server beside a worker knows of `max`: it is the most that they know. */
export function effortOf(asked: EffortAsked | null | undefined): ReasoningEffort | undefined {
  return asked === 'max' ? 'xhigh' : (asked ?? undefined);
}

/** What an answer has brought so far, or brings now. Each is a stream of its own: only within it is the order told. */
export interface AnswerContent {
  /** What the caller asked for. Whole characters only. */
  readonly text: string;
  /** What the model thought before. Whole characters only. */
  readonly reasoning?: string | undefined;
  readonly calls?: readonly CallDelta[] | undefined;
  readonly citations?: readonly Citation[] | undefined;
}

/** A piece of a tool call: first its name, then its arguments bit by bit. */
export interface CallDelta {
  /** Which call of the answer, from 0; they come one after another. */
  readonly index: number;
  /** Set in the first piece, whole, and in no other. */
  readonly name?: string | undefined;
  /** The next bit of the arguments' JSON text; may be empty. */
  readonly arguments: string;
}

/** A passage of the answer's text, and what it is taken from. */
export interface Citation {
  /** Counted in Unicode code points of the whole text, as OpenAI counts; `end` is behind the last. */
  readonly start: number;
  readonly end: number;
  readonly sources: readonly CitationSource[];
}

export type CitationSource =
  /** Index into the prompt's documents. */
  | { readonly kind: 'document'; readonly document: number }
  /** The id of a call in the prompt's messages, and which of its results. */
  | { readonly kind: 'toolResult'; readonly callId: string; readonly result: number };

/** One answer that is asked for: a sequence in the making. */
export interface AnswerRequest {
  /** The caller's `x-request-id`, for logs. */
  readonly requestId: string;
  /** Of whoever asks, for a server that is asked in turn. Absent: nobody traces it. */
  readonly trace?: TraceContext | undefined;
  readonly model: string;
  /** Requests that hold the same object, asked in one turn of the event loop, are `n` answers: it is read once for all. */
  readonly prompt: Prompt;
  readonly sampling: Sampling;
  readonly format?: OutputFormat | undefined;
  /** How many of the likeliest tokens to tell beside every token, 0 to 20. Absent: no log-probabilities at all. */
  readonly logprobs?: number | undefined;
  /** Whether the prompt comes back before the answer, with its log-probabilities if `logprobs` is set. Not for chats. */
  readonly echo?: boolean | undefined;
  /**
   * The most tokens to generate, resumed ones included; 0 only with `echo`. Absent: the model's default, else until the
   * context is full.
   */
  readonly maxTokens?: number | undefined;
  /** Up to four texts that end the answer and are never part of it. */
  readonly stop: readonly string[];
  /** What an earlier attempt has already delivered: the answer goes on after it. */
  readonly resume?: ResumedAnswer | undefined;
  /** Milliseconds from now until the answer fails with `deadline_exceeded`. Absent: the engine's own limit. */
  readonly deadlineMs?: number | undefined;
  /** Higher runs sooner; 0 is ordinary. See `BACKGROUND_PRIORITY_MAX`. */
  readonly priority: number;
}

/** Nobody waits for a request of this priority or a lower one: where somebody waits for another, it rests. It has a time limit of its own (`timeoutMsOf`). */
export const BACKGROUND_PRIORITY_MAX = -1_000;

/** An answer that another attempt began. */
export interface ResumedAnswer extends Omit<AnswerContent, 'citations'> {
  /** Empty, whatever was delivered, where the engine that began it learnt no numbers. */
  readonly tokens: readonly number[];
  /** How many tokens were delivered beside `tokens`, without a number. Absent: none. */
  readonly unnumbered?: number | undefined;
  /** How many citations were delivered. Absent: none. */
  readonly citations?: number | undefined;
  /** How many log-probabilities were delivered; they may lag behind the tokens. Absent: none. */
  readonly logprobs?: number | undefined;
}

/** `tool_calls`: the answer ends with calls. `content_filter`: a provider held the rest back. */
export const FINISH_REASONS = ['stop', 'length', 'tool_calls', 'content_filter'] as const;
export type FinishReason = (typeof FINISH_REASONS)[number];

/** Tokens as the engine counted them. */
export interface Usage {
  readonly promptTokens: number;
  /** Every token the engine chose: resumed ones, those behind a stop text, and the one that ended the answer. */
  readonly completionTokens: number;
  /** How many of the prompt's tokens were already in the engine's cache. */
  readonly cachedTokens: number;
  /** How many of `completionTokens` were thought. Absent: none. */
  readonly reasoningTokens?: number | undefined;
}

/** One token and what the model thought of it, before penalties, biases, grammar and sampling changed that. */
export interface TokenLogprob extends TokenChance {
  /** The likeliest tokens at this place, best first, as many as were asked for. */
  readonly top: readonly TokenChance[];
}

export interface TokenChance {
  /** TOKEN_UNKNOWN where the engine has only the text. */
  readonly token: number;
  /** As the vocabulary spells it; a token may be a part of a character. Control tokens are spelt by name. */
  readonly bytes: Uint8Array;
  /**
   * Natural logarithm of the probability, at most 0. LOGPROB_MIN where there is none: for the first token of a prompt,
   * which follows nothing, it is NaN.
   */
  readonly logprob: number;
}

/** OpenAI's value for "all but impossible"; JSON knows no infinity. */
export const LOGPROB_MIN = -9999;

/** In place of a token's number, from an engine that learns no numbers. */
export const TOKEN_UNKNOWN = 0xffff_ffff;

/**
 * In this order: `begun` once, any number of `echo` if that was asked for, any number of `tokens`, `finished` once. A
 * failure is thrown as an `InferenceError`. Numbers are whole: a fraction could not be sent to the gateway.
 */
export type AnswerEvent =
  | { readonly kind: 'begun'; readonly promptTokens: number; readonly cachedTokens: number; readonly waitedMs: number }
  | {
      readonly kind: 'echo';
      /** A piece of the prompt. */
      readonly text: string;
      /** One for every token of the piece; empty when none were asked for. */
      readonly logprobs: readonly TokenLogprob[];
    }
  | ({
      readonly kind: 'tokens';
      readonly tokens: readonly number[];
      /** How many more tokens there were whose numbers the engine doesn't know, at a guess. Absent: none. */
      readonly unnumbered?: number | undefined;
      /** Of the tokens whose text has been let out so far, so that these lag too. Absent when none were asked for. */
      readonly logprobs?: readonly TokenLogprob[] | undefined;
      // The content may lag behind `tokens`, and may be empty.
    } & AnswerContent)
  | {
      readonly kind: 'finished';
      readonly reason: FinishReason;
      readonly usage: Usage;
      /** With the reason `stop`: which of the request's stop texts ended it. Absent: none did, or the engine does not tell. */
      readonly stopText?: string | undefined;
    };

// ------------------------------------------------------------------------------------------------ other kinds of work

/** A text, or tokens that are taken as they stand. */
export type EmbeddingInput =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

/** What every request but one for an answer has. */
export interface WorkRequest {
  readonly requestId: string;
  /** As an answer's. */
  readonly trace?: TraceContext | undefined;
  readonly model: string;
  /** Milliseconds from now until it fails with `deadline_exceeded`. Absent: the engine's own limit. */
  readonly deadlineMs?: number | undefined;
  /** As an answer's. */
  readonly priority: number;
}

export interface EmbedRequest extends WorkRequest {
  readonly inputs: readonly EmbeddingInput[];
  /** Shortens the vectors, and makes them of length 1 again. Absent: as long as the model's. */
  readonly dimensions?: number | undefined;
}

export interface Embeddings {
  /** In the order of the inputs, each of length 1. */
  readonly vectors: readonly Float32Array[];
  readonly promptTokens: number;
}

export interface RerankRequest extends WorkRequest {
  readonly query: string;
  readonly documents: readonly string[];
}

export interface Ranking {
  /** In the order of the documents; higher is nearer to the query. */
  readonly scores: readonly number[];
  readonly promptTokens: number;
}

export interface TokenizeRequest extends WorkRequest {
  readonly prompt: Prompt;
  /** Puts the model's beginning-of-text token before a text, if the model wants one. Chats have it from their template. */
  readonly addSpecial: boolean;
  /** Whether the text of a control token becomes that token. Chats are always read so. */
  readonly parseSpecial: boolean;
}

export interface Tokenized {
  readonly tokens: readonly number[];
  /** The bytes of each token. */
  readonly pieces: readonly Uint8Array[];
}

export type ModelCapability = 'chat' | 'completion' | 'embedding' | 'rerank';

export interface ModelDescription {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Tokens a sequence may hold, prompt and answer together; 0 until that is known. */
  readonly contextLength: number;
  readonly capabilities: readonly ModelCapability[];
  /** The engine's name and version, and how it runs the model where that shapes its answers: `llama.cpp v0.5.0`, `llama.cpp v0.5.0 (q8_0)`. */
  readonly engine: string;
  /** Unix seconds: the model file's time. */
  readonly created: number;
  readonly samplingDefaults: Sampling;
  readonly maxTokensDefault?: number | undefined;
  /** Numbers of a vector; absent where the model makes none. */
  readonly embeddingLength?: number | undefined;
  /** Answers requests that name no model. */
  readonly isDefault: boolean;
  /** Whom the gateway itself asks for the answers, and what the model is called there. Absent: a worker has it. */
  readonly provider?: { readonly name: string; readonly model: string } | undefined;
  /**
   * What requests to it say for themselves where they say nothing, since the gateway's models file says otherwise than its worker: that one
   * may have read the file before it was edited. Absent: nothing.
   */
  readonly overrides?: { readonly sampling: Sampling; readonly maxTokens: number | undefined } | undefined;
  /** Absent: `loaded`. */
  readonly state?: ModelState | undefined;
  /** How far loading is, or why it failed: a sentence. Absent or empty where there is nothing to say. */
  readonly detail?: string | undefined;
}

/** `idle`: it will be loaded when it is asked for. `failed`: it could not be, and `detail` says why. */
export const MODEL_STATES = ['loaded', 'loading', 'idle', 'failed'] as const;
export type ModelState = (typeof MODEL_STATES)[number];

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
   *   `invalid_request` (the template refuses the messages), `answer_broken_off` (it can't go on after `resume`),
   *   `internal_error`.
   */
  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent>;
  /** @throws InferenceError `embeddings_not_supported`, `context_length_exceeded` (an input), and as `answer`. */
  embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings>;
  /** @throws InferenceError `rerank_not_supported`, and as `embed`. */
  rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking>;
  /** @throws InferenceError `invalid_request`, or `generation_not_supported` for a chat with a model that has none. */
  tokenize(request: TokenizeRequest): Promise<Tokenized>;
  /** @throws InferenceError `invalid_request` for a token that is none. */
  detokenize(tokens: readonly number[]): Promise<string>;
  /** The prompt that the model's chat template makes of messages. @throws InferenceError as `tokenize`. */
  renderPrompt(prompt: Extract<Prompt, { kind: 'chat' }>): Promise<string>;
  /** Fails what waits, lets nothing new in, and resolves when the engine's memory is free. */
  close(): Promise<void>;
}
