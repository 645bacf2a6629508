import type {
  AnswerEvent,
  AnswerRequest,
  EmbedRequest,
  ErrorCode,
  ModelDescription,
  Prompt,
  RerankRequest,
  TokenizeRequest,
} from '@millrace/contracts';

/** The types that stages hand to each other. Nothing here does anything. */

/** W3C trace context of the caller, checked: https://www.w3.org/TR/trace-context/. */
export interface TraceContext {
  readonly traceId: string;
  readonly traceparent: string;
  /** Vendors' additions, as they came; empty when there were none. */
  readonly tracestate: string;
}

/** One HTTP call, as far as a walk needs to know it. */
export interface Call {
  readonly requestId: string;
  /** On the clock of `performance.now()`, taken when the body had been read: a slow upload is not the gateway's time. */
  readonly arrivedMs: number;
  /** Aborts when the client leaves; its reason is the error to throw. */
  readonly clientLeft: AbortSignal;
  readonly trace: TraceContext | undefined;
}

declare const validated: unique symbol;

/** What both kinds of request come down to once they are valid. */
export interface ValidRequest
  extends Pick<AnswerRequest, 'sampling' | 'maxTokens' | 'stop' | 'format' | 'logprobs' | 'echo'> {
  readonly model: ModelDescription;
  /** One for a chat. */
  readonly prompts: readonly Prompt[];
  /** Answers to each prompt that the caller gets. */
  readonly n: number;
  /** Sequences for each prompt, of which the caller gets the best: at least `n`, and no more than that if streamed. */
  readonly bestOf: number;
  /** Where the schema of `format` stands in the request. */
  readonly schemaParam?: string | undefined;
  /** Where each tool of the prompt stands in the request, if some were left out. */
  readonly toolPlaces?: readonly number[] | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/**
 * An event of one of a request's sequences. They are counted prompt by prompt: those of the second prompt begin at
 * `bestOf`.
 */
export type SequenceEvent = AnswerEvent & { readonly index: number };

/** Only `validation/` makes these, so nobody downstream checks a field again. */
export type ValidChatRequest = ValidRequest & { readonly [validated]: 'chat' };
export type ValidTextRequest = ValidRequest & { readonly [validated]: 'text' };
export type ValidAnswerRequest = ValidChatRequest | ValidTextRequest;

/** Requests for anything but an answer, each without what every one of them has: a model's name, an id, a deadline. */
export interface ValidEmbedRequest extends Pick<EmbedRequest, 'inputs' | 'dimensions'> {
  readonly model: ModelDescription;
  readonly encoding: 'float' | 'base64';
  readonly [validated]: 'embed';
}

export interface ValidRerankRequest extends Pick<RerankRequest, 'query' | 'documents'> {
  readonly model: ModelDescription;
  /** How many results are wanted. */
  readonly topN: number;
  readonly returnDocuments: boolean;
  readonly [validated]: 'rerank';
}

export interface ValidTokenizeRequest extends Pick<TokenizeRequest, 'addSpecial' | 'parseSpecial'> {
  readonly model: ModelDescription;
  readonly prompt: TextOrChat;
  readonly withPieces: boolean;
  readonly [validated]: 'tokenize';
}

export interface ValidDetokenizeRequest {
  readonly model: ModelDescription;
  readonly tokens: readonly number[];
  readonly [validated]: 'detokenize';
}

export interface ValidTemplateRequest {
  readonly model: ModelDescription;
  readonly prompt: ChatPrompt;
  readonly [validated]: 'template';
}

export type TextOrChat = Exclude<Prompt, { kind: 'tokens' }>;
export type ChatPrompt = Extract<Prompt, { kind: 'chat' }>;

/** How long an answer may still take, and the signal that ends it: its time is up, or its client left. */
export interface Deadline {
  /** Its reason is the `InferenceError` to throw. */
  readonly signal: AbortSignal;
  remainingMs(): number;
}

/** Admission's leave to run. Whoever holds it releases it: `using permit = await admission.admit(…)`. */
export type Permit = Disposable;

export type WorkerPhase = 'connecting' | 'loading' | 'ready' | 'draining' | 'lost';

/** What the gateway knows of one worker just now. */
export interface WorkerState {
  readonly address: string;
  readonly phase: WorkerPhase;
  /** Where loading stands, or why there is no connection: a sentence, or empty. */
  readonly detail: string;
  readonly version: string;
  /** As the worker reported last, over all of its gateways. */
  readonly running: number;
  readonly waiting: number;
  /** Sequences that this gateway has with it: exact, and newer than the report. */
  readonly outstanding: number;
  /** What it served when it last reported, even if it is away now; undefined if it never did. */
  readonly models: readonly ModelDescription[] | undefined;
}

export interface Worker {
  readonly address: string;
  /** As in its state, without the rest of it: every request asks for them. */
  readonly models: WorkerState['models'];
  state(): WorkerState;
}

export type Endpoint =
  | 'chat'
  | 'completion'
  | 'embeddings'
  | 'rerank'
  | 'tokenize'
  | 'detokenize'
  | 'apply_template'
  | 'other';

/**
 * How a request ended. `rejected`: refused before it waited; `dropped`: removed while it waited; `cancelled`: its
 * client left while it ran; `expired`: its time was up while it ran; `failed`: everything else that is not an answer.
 */
export type Outcome = 'served' | 'rejected' | 'dropped' | 'cancelled' | 'expired' | 'failed';

/** One row of the request log. Never contents, never keys. */
export interface RequestRecord {
  readonly requestId: string;
  readonly traceId: string | undefined;
  readonly endpoint: Endpoint;
  /** The model's id; undefined when the request was refused before its model was known. */
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly outcome: Outcome;
  readonly code: ErrorCode | undefined;
  readonly status: number;
  /** Address of the worker that was asked last. */
  readonly worker: string | undefined;
  readonly attempts: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  /** Of `completionTokens`, those that were thought. */
  readonly reasoningTokens: number;
  /** In the gateway's waiting room. */
  readonly waitedMs: number;
  /** From arrival to the first event of the answer; undefined when none came. */
  readonly firstTokenMs: number | undefined;
  /** From the first event to the last; undefined with fewer than two tokens. */
  readonly perTokenMs: number | undefined;
  readonly totalMs: number;
  /** From arrival to the hand-over to a worker, less the wait: the time that the gateway itself took. */
  readonly overheadMs: number | undefined;
}
