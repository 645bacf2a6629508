import type {
  AnswerRequest,
  EmbedRequest,
  Prompt,
  Ranking,
  RerankRequest,
  ResumedAnswer,
  Tokenized,
  TokenizeRequest,
  WorkRequest,
} from '@millrace/contracts';
import type { ChatPrompt, SequenceEvent, TextOrChat, Worker } from '../vocabulary.js';

/** One of the answers of an attempt. */
export interface AttemptSequence {
  /** Its place among all sequences of the request, counted prompt by prompt; its events carry it. */
  readonly index: number;
  /** The same object for all answers to one prompt: those that begin together are read once. */
  readonly prompt: Prompt;
  /** Which of the request's prompts it is; undefined if there is only one. */
  readonly promptIndex: number | undefined;
  /** In place of the seed in `sampling`. */
  readonly seed: number | undefined;
  /** What an earlier attempt has delivered of it. */
  readonly resume: ResumedAnswer | undefined;
}

/** One try at a request's answers, or at those that are left of them, on one worker. */
export interface AnswerAttempt extends Omit<AnswerRequest, 'prompt' | 'resume'> {
  /** At least one. */
  readonly sequences: readonly AttemptSequence[];
  /** 1 for the first try. */
  readonly attempt: number;
  /** Whether a model that stands in may be asked next: no need to be patient with a provider that asks to wait. */
  readonly mayBeStoodIn?: boolean | undefined;
  /** What chat templates are told of the time, in Unix seconds: the same in every attempt. */
  readonly nowSeconds: number;
}

/** Embeddings as they travel and as OpenAI's base64 has them: each vector's 32-bit floats, little-endian. */
export interface Vectors {
  /** In the order of the inputs, all of one length. */
  readonly vectors: readonly Uint8Array[];
  readonly promptTokens: number;
}

export interface TokenizeWork extends TokenizeRequest {
  readonly prompt: TextOrChat;
}

export interface DetokenizeWork extends WorkRequest {
  readonly tokens: readonly number[];
}

export interface RenderWork extends WorkRequest {
  readonly prompt: ChatPrompt;
}

/**
 * A worker, as the dispatcher wants to see it.
 *
 * `answer` begins at once. The events of each sequence come in the order that `AnswerEvent` tells, those of several in
 * turns; one that arrives while nobody asks is merged with the next, and a consumer that does not ask pauses its own
 * sequences and no others. Aborting `signal`, or returning the iterator, frees the places on the worker. What goes wrong
 * with any of them is thrown as an `InferenceError` and ends the others, of which `worker_lost` means that the worker or the
 * way to it broke.
 *
 * Everything else comes whole. Aborting `signal` cancels it on the worker and rejects with the signal's reason; failures
 * are those of the Engine seam, `worker_lost`, and `request_too_large` for a request or a reply that no message can hold.
 */
export interface WorkerClient extends Worker {
  answer(request: AnswerAttempt, signal: AbortSignal): AsyncIterable<SequenceEvent>;
  embed(request: EmbedRequest, signal: AbortSignal): Promise<Vectors>;
  rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking>;
  tokenize(request: TokenizeWork, signal: AbortSignal): Promise<Tokenized>;
  detokenize(request: DetokenizeWork, signal: AbortSignal): Promise<string>;
  renderPrompt(request: RenderWork, signal: AbortSignal): Promise<string>;
  /** Cancels what runs and gives up the connection, for good. */
  close(): Promise<void>;
}
