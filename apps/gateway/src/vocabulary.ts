import {
  type AnswerEvent,
  type AnswerRequest,
  BACKGROUND_PRIORITY_MAX,
  type CacheAsk,
  type DispatchAsk,
  type EmbedRequest,
  type ErrorCode,
  type ModelDescription,
  type Prompt,
  type RefusingLimit,
  type RerankRequest,
  type TokenizeRequest,
  type TraceContext,
} from '@millrace/contracts';

export type { CacheAsk, DispatchAsk } from '@millrace/contracts';

/** The types that stages hand to each other. Nothing here does anything. */

/** Of the caller, with its trace's id apart. */
export interface CallerTrace extends TraceContext {
  readonly traceId: string;
}

/** What a key may use. Absent: no limit. */
export interface KeyLimits {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  readonly concurrentRequests?: number | undefined;
  /** From 00:00 UTC on. */
  readonly tokensPerDay?: number | undefined;
  /** From the first of the month on, 00:00 UTC. */
  readonly tokensPerMonth?: number | undefined;
}

/** Who asks, as `keys/` found out. */
export interface Caller {
  /** The public id of the key; undefined while there are no keys and anyone may ask. */
  readonly keyId: string | undefined;
  /** As a person called it; undefined like the id. */
  readonly keyName: string | undefined;
  /** Ids and aliases, or beginnings that end in `*`; undefined: all models. */
  readonly models: readonly string[] | undefined;
  readonly limits: KeyLimits;
  /** Among waiting requests the higher goes first. */
  readonly priority: number;
  /** Whether records hold contents; undefined: as the setting says. */
  readonly logMessages: boolean | undefined;
}

/** Whoever asks while there are no keys. */
export const ANYONE: Caller = {
  keyId: undefined,
  keyName: undefined,
  models: undefined,
  limits: {},
  priority: 0,
  logMessages: undefined,
};

/** Of work that nobody waits for: below every key's, which go from -100 to 100. */
export const LOW_PRIORITY = BACKGROUND_PRIORITY_MAX;

/** One HTTP call, as far as a walk needs to know it. */
export interface Call {
  readonly requestId: string;
  readonly caller: Caller;
  /** Of the body, as it was sent. */
  readonly bodyBytes: number;
  /** What the caller gives it, from its arrival; undefined: as long as the setting allows. */
  readonly deadlineMs: number | undefined;
  /** What it asks of the cache; absent: what the settings say. */
  readonly cacheAsk?: CacheAsk | undefined;
  /** By which way it should reach a worker; absent: as the request and the workers are. */
  readonly dispatchAsk?: DispatchAsk | undefined;
  /** Adds headers to the answer, be it one or an error; once its status is sent they are left out. */
  readonly tell: (headers: Readonly<Record<string, string>>) => void;
  /** Of the time since `arrivedMs`, what others took: told before a whole answer is given, which then says what is left. */
  readonly notOurs: (ms: number) => void;
  /** On the clock of `performance.now()`, taken when the body had been read and not yet parsed: a slow upload is not the gateway's time. */
  readonly arrivedMs: number;
  /** Aborts when the client leaves; its reason is the error to throw. */
  readonly clientLeft: AbortSignal;
  readonly trace: CallerTrace | undefined;
  /**
   * Filled in by the first of its requests, since those who count may see several in one call: the turns of a response that searches files,
   * and its searches. They are one trace all the same, and what comes later began later.
   */
  readonly course?: { begun?: boolean; trace?: TraceContext };
  /** Of its URL, as its route has it: `/v1/models/:model`. Undefined: nobody has sent it, or no route fits. */
  readonly route?: { readonly method: string; readonly path: string } | undefined;
}

/** `flex`: nobody waits for it. */
export type ServiceTier = 'default' | 'flex';

declare const validated: unique symbol;

/** What is kept of a request together with its answer. */
export interface Keepsake {
  /** As they were sent, in OpenAI's shape. */
  readonly messages: readonly object[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** What both kinds of request come down to once they are valid. */
export interface ValidRequest
  extends Pick<AnswerRequest, 'sampling' | 'maxTokens' | 'stop' | 'format' | 'logprobs' | 'echo'> {
  /** The first choice. */
  readonly model: ModelDescription;
  /** Who is asked, in this order, where no worker of `model` answers: nobody knows yet whether one will. */
  readonly fallbacks: readonly ModelDescription[];
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
  /** Its tools came as `functions`: a call is told as `function_call`, and there is one at most. */
  readonly oldCalls?: true | undefined;
  /** What was answered to a text that means the same is no answer to this one. */
  readonly exact?: true | undefined;
  /** What is to be kept with its answer. Undefined: neither is kept. */
  readonly keep?: Keepsake | undefined;
  /** Undefined: it was not said. */
  readonly serviceTier?: ServiceTier | undefined;
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

/** Of an answer's thoughts: all of them are told, or only that there were some, or nothing. */
export type ThoughtsTold = 'all' | 'omitted' | 'none';
export type ValidMessagesRequest = ValidChatRequest & {
  readonly maxTokens: number;
  readonly thoughtsTold: ThoughtsTold;
};

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
  /** What `outstanding` was when that report came: the rest of `running` and `waiting` is from elsewhere. Absent: nobody noted it. */
  readonly outstandingAtReport?: number | undefined;
  /** How many sequences it says that a step of it takes. Absent or 0: it did not say. */
  readonly sequencesMax?: number | undefined;
  /** What it served when it last reported, even if it is away now; undefined if it never did. */
  readonly models: readonly ModelDescription[] | undefined;
}

export interface Worker {
  readonly address: string;
  /** As in its state, without the rest of it: every request asks for them. */
  readonly models: WorkerState['models'];
  /** Whether it has said what it serves, or could not be reached: until then what nobody else serves may still be its. */
  readonly heard: boolean;
  /**
   * Why no request waits for it, as a caller may read it; undefined: it is there, or is soon. A worker restarts within seconds; a
   * provider that is down or refuses its key is back once somebody has mended it.
   */
  readonly givenUp?: string | undefined;
  /** `queue`: several workers that take from one queue, and stand in for each other. Absent: one, which is sent its work. */
  readonly dispatch?: 'queue' | undefined;
  state(): WorkerState;
  /** Calls `listener`, which must not throw, in the very turn in which any of this changes; returns what stops that. */
  watch(listener: () => void): () => void;
}

export type Endpoint =
  | 'chat'
  | 'stored_chats'
  | 'completion'
  | 'responses'
  | 'messages'
  | 'embeddings'
  | 'rerank'
  | 'moderations'
  | 'tokenize'
  | 'detokenize'
  | 'apply_template'
  | 'files'
  | 'batches'
  | 'vector_stores'
  | 'conversations'
  | 'admin'
  | 'other';

/**
 * How a request ended. `rejected`: refused before it waited; `dropped`: removed while it waited; `cancelled`: its
 * client left while it ran; `expired`: its time was up while it ran; `failed`: everything else that is not an answer.
 */
export type Outcome = 'served' | 'rejected' | 'dropped' | 'cancelled' | 'expired' | 'failed';

/** What was asked and answered, where records hold it. */
export interface RecordedContents {
  /** JSON: the messages, or the prompt. */
  readonly question: string;
  /** The text of the first answer, and behind it the tool calls, a line each. */
  readonly answer: string;
  /** Either was cut at `messageBytesMax`. */
  readonly cut: boolean;
}

/** One row of the request log. Never keys; contents only where they were asked for. */
export interface RequestRecord {
  /** Made for the record alone, since a caller chooses its own request id; what makes writing it twice harmless. UUID. */
  readonly recordId: string;
  /** Unix milliseconds. */
  readonly arrivedAtMs: number;
  readonly requestId: string;
  readonly traceId: string | undefined;
  readonly keyId: string | undefined;
  readonly keyName: string | undefined;
  /** Of the request's parameters those that matter afterwards, as they were understood; no contents among them. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Answered from the cache. */
  readonly cached: boolean;
  /** The answer went on at another worker after its first token. */
  readonly continued: boolean;
  readonly contents: RecordedContents | undefined;
  readonly endpoint: Endpoint;
  /** The model's id; undefined when the request was refused before its model was known. */
  readonly model: string | undefined;
  readonly stream: boolean;
  /** A line of a batch, or a part of a file. Absent: somebody waits for it. */
  readonly nobodyWaits?: true;
  readonly outcome: Outcome;
  readonly code: ErrorCode | undefined;
  /** Which limit refused it, as `x-millrace-limit` told its caller. */
  readonly limit: RefusingLimit | undefined;
  readonly status: number;
  /** Address of the worker that was asked last. */
  readonly worker: string | undefined;
  readonly attempts: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  /** Of `completionTokens`, those that were thought. */
  readonly reasoningTokens: number;
  /** In the gateway's waiting room, and for a first worker to say what is served. */
  readonly waitedMs: number;
  /** From arrival to the first event of the answer; undefined when none came. */
  readonly firstTokenMs: number | undefined;
  /** From the first event to the last; undefined with fewer than two tokens. */
  readonly perTokenMs: number | undefined;
  readonly totalMs: number;
  /** The time that the gateway itself took up to the hand-over to a worker, less the wait. Its limits' store is part of it. */
  readonly overheadMs: number | undefined;
}
