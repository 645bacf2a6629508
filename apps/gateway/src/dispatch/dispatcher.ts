import {
  type AnswerEvent,
  type AnswerRequest,
  type ErrorCode,
  InferenceError,
  type WorkRequest,
} from '@millrace/contracts';
import type { Call, Deadline, ValidAnswerRequest } from '../vocabulary.js';
import type { WorkerClient } from './worker-client.js';

/** Who wants to know which worker was asked: the request's record. */
export interface DispatchNotes {
  sentTo(address: string): void;
}

/** What is asked of a worker that is no answer: `worker.embed(…)` and its like. */
export type Ask<T> = (worker: WorkerClient, heading: WorkRequest, signal: AbortSignal) => Promise<T>;

/** The first worker and two more: with more, a request that kills workers would kill them all. */
const ATTEMPTS_MAX = 3;

/** Failures that say something about the worker and nothing about the request, so another worker may well answer. */
const WORTH_ANOTHER_WORKER: ReadonlySet<ErrorCode> = new Set([
  'worker_lost',
  'model_not_ready',
  'shutting_down',
  'rate_limit_exceeded',
]);

/** Finds one worker that answers. */
export class Dispatcher {
  async *answer(
    request: ValidAnswerRequest,
    workers: readonly WorkerClient[],
    call: Call,
    deadline: Deadline,
    notes: DispatchNotes,
  ): AsyncGenerator<AnswerEvent> {
    let failure: InferenceError | undefined;
    for (const [index, worker] of workers.slice(0, ATTEMPTS_MAX).entries()) {
      let begun = false;
      try {
        deadline.signal.throwIfAborted();
        notes.sentTo(worker.address);
        const attempt = { ...toAnswerRequest(request, call, deadline), attempt: index + 1, trace: call.trace };
        for await (const event of worker.answer(attempt, deadline.signal)) {
          begun = true;
          yield event;
        }
        return;
      } catch (error) {
        // Retried only before the first event: afterwards the client would see two answers joined.
        if (begun || !isWorthAnotherWorker(error)) throw error;
        failure = error;
      }
    }
    throw failure ?? noWorkerReady(request.model.id);
  }

  /** Work that comes whole, so that it can always be asked of another worker. */
  async work<T>(
    model: string,
    workers: readonly WorkerClient[],
    call: Call,
    deadline: Deadline,
    notes: DispatchNotes,
    ask: Ask<T>,
  ): Promise<T> {
    let failure: InferenceError | undefined;
    for (const worker of workers.slice(0, ATTEMPTS_MAX)) {
      deadline.signal.throwIfAborted();
      notes.sentTo(worker.address);
      const heading = { requestId: call.requestId, model, deadlineMs: Math.max(1, deadline.remainingMs()) };
      try {
        return await ask(worker, heading, deadline.signal);
      } catch (error) {
        if (!isWorthAnotherWorker(error)) throw error;
        failure = error;
      }
    }
    throw failure ?? noWorkerReady(model);
  }
}

function toAnswerRequest(request: ValidAnswerRequest, call: Call, deadline: Deadline): AnswerRequest {
  const { model, prompt, sampling, maxTokens, stop } = request;
  const deadlineMs = Math.max(1, deadline.remainingMs());
  return { requestId: call.requestId, model: model.id, prompt, sampling, maxTokens, stop, deadlineMs, priority: 0 };
}

function isWorthAnotherWorker(error: unknown): error is InferenceError {
  return error instanceof InferenceError && WORTH_ANOTHER_WORKER.has(error.code);
}

function noWorkerReady(model: string): InferenceError {
  return new InferenceError(
    'model_not_ready',
    `No worker can serve the model \`${model}\` just now. Try again shortly; /readyz says what is missing.`,
  );
}
