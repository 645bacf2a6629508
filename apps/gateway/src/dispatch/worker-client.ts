import type { AnswerEvent, AnswerRequest } from '@millrace/contracts';
import type { TraceContext, Worker } from '../vocabulary.js';

/** One try at an answer, on one worker. */
export interface AnswerAttempt extends AnswerRequest {
  /** 1 for the first try. */
  readonly attempt: number;
  readonly trace: TraceContext | undefined;
}

/**
 * A worker, as the dispatcher wants to see it.
 *
 * `answer` begins at once. Its events come in the order that `AnswerEvent` tells; one that arrives while nobody asks is
 * merged with the next, and a consumer that does not ask pauses its own sequence and no other. Aborting `signal`, or
 * returning the iterator, frees the place on the worker. What goes wrong is thrown as an `InferenceError`, of which
 * `worker_lost` means that the worker or the way to it broke.
 */
export interface WorkerClient extends Worker {
  answer(request: AnswerAttempt, signal: AbortSignal): AsyncIterable<AnswerEvent>;
  /** Cancels what runs and gives up the connection, for good. */
  close(): Promise<void>;
}
