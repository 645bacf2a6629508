import { type ErrorCode, InferenceError, type ModelDescription, type WorkRequest } from '@millrace/contracts';
import type { Call, Deadline, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import type { AnswerAttempt, AttemptSequence, WorkerClient } from './worker-client.js';

/** Who wants to know which worker was asked: the request's record. */
export interface DispatchNotes {
  sentTo(address: string, model: ModelDescription): void;
}

/** A worker to ask, and the model to ask it for: the request's own, or one that stands in for it. */
export interface Candidate {
  readonly worker: WorkerClient;
  readonly model: ModelDescription;
  /** The first event has come. From now on only workers of this model follow: the answer can only go on there. */
  answered(): void;
  /** It did not answer, or broke off, for a reason that says something about the worker. */
  failed(error: InferenceError): void;
}

/** What is asked of a worker that is no answer: `worker.embed(…)` and its like. */
export type Ask<T> = (worker: WorkerClient, heading: WorkRequest, signal: AbortSignal) => Promise<T>;

/** With more, a request that kills workers would kill them all. */
const ATTEMPTS_MAX = 3;

/** Failures that say something about the worker and nothing about the request, so another worker may well answer. */
const WORTH_ANOTHER_WORKER: ReadonlySet<ErrorCode> = new Set([
  'worker_lost',
  'model_not_ready',
  'model_failed',
  'upstream_failed',
  'shutting_down',
  'rate_limit_exceeded',
]);

/**
 * Finds one worker that answers, of those that it is given one at a time.
 *
 * Ownership: it returns their iterator when it needs no more of them, which is when the answer has ended.
 */
export class Dispatcher {
  async *answer(
    request: ValidAnswerRequest,
    candidates: AsyncIterable<Candidate>,
    call: Call,
    deadline: Deadline,
    notes: DispatchNotes,
  ): AsyncGenerator<SequenceEvent> {
    let attempt = 0;
    let failure: InferenceError | undefined;
    for await (const { worker, model } of candidates) {
      let begun = false;
      try {
        deadline.signal.throwIfAborted();
        notes.sentTo(worker.address, model);
        const asked = toAttempt(++attempt, model.id, request, call, deadline);
        for await (const event of worker.answer(asked, deadline.signal)) {
          begun = true;
          yield event;
        }
        return;
      } catch (error) {
        // Retried only before the first event: afterwards the client would see two answers joined.
        if (begun || !isWorthAnotherWorker(error)) throw inWordsOf(request, error);
        failure = error;
      }
      if (attempt === ATTEMPTS_MAX) break;
    }
    throw failure ?? noWorkerReady();
  }

  /** Work that comes whole, so that it can always be asked of another worker. */
  async work<T>(
    candidates: AsyncIterable<Candidate>,
    call: Call,
    deadline: Deadline,
    notes: DispatchNotes,
    ask: Ask<T>,
  ): Promise<T> {
    let attempt = 0;
    let failure: InferenceError | undefined;
    for await (const { worker, model } of candidates) {
      deadline.signal.throwIfAborted();
      notes.sentTo(worker.address, model);
      const heading = { requestId: call.requestId, model: model.id, deadlineMs: Math.max(1, deadline.remainingMs()) };
      try {
        return await ask(worker, heading, deadline.signal);
      } catch (error) {
        if (!isWorthAnotherWorker(error)) throw error;
        failure = error;
      }
      if (++attempt === ATTEMPTS_MAX) break;
    }
    throw failure ?? noWorkerReady();
  }
}

function toAttempt(
  attempt: number,
  model: string,
  request: ValidAnswerRequest,
  call: Call,
  deadline: Deadline,
): AnswerAttempt {
  const { n, bestOf, sampling, format, maxTokens, stop, echo } = request;
  return {
    requestId: call.requestId,
    attempt,
    trace: call.trace,
    model,
    sequences: sequencesOf(request),
    sampling,
    format,
    // The best of several are found by their log-probabilities, though the caller may not want to see them.
    logprobs: request.logprobs ?? (bestOf > n ? 0 : undefined),
    echo,
    maxTokens,
    stop,
    deadlineMs: Math.max(1, deadline.remainingMs()),
    priority: call.caller.priority,
  };
}

function sequencesOf({ prompts, bestOf, sampling }: ValidAnswerRequest): readonly AttemptSequence[] {
  return prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: bestOf }, (_, answer) => ({
      index: promptIndex * bestOf + answer,
      prompt,
      promptIndex: prompts.length > 1 ? promptIndex : undefined,
      seed: seedOf(sampling.seed, answer),
      resume: undefined,
    })),
  );
}

/** A seed of its own for each answer to a prompt, or all would be the same; the worker draws those of a request without one. */
function seedOf(seed: number | undefined, answer: number): number | undefined {
  return seed === undefined ? undefined : (seed + answer) >>> 0;
}

/** Where OpenAI has a schema, and where workers say it stands: the protocol does not tell them that it was elsewhere. */
const SCHEMA_PARAM = 'response_format.json_schema.schema';

/**
 * A worker names parameters as OpenAI does; of two that came to the same it cannot know which the caller sent, nor which
 * tools were left out before the one at fault.
 */
function inWordsOf({ n, bestOf, schemaParam = SCHEMA_PARAM, toolPlaces }: ValidAnswerRequest, error: unknown): unknown {
  if (!(error instanceof InferenceError)) return error;
  const { param = '' } = error.details;
  if (param === 'n' && bestOf > n) return renamed(error, 'n', 'best_of');
  const [, tool] = /^tools\[(\d+)\]/.exec(param) ?? [];
  const place = toolPlaces?.[Number(tool)];
  if (place !== undefined) return renamed(error, `tools[${tool}]`, `tools[${place}]`);
  return param.startsWith(SCHEMA_PARAM) ? renamed(error, SCHEMA_PARAM, schemaParam) : error;
}

function renamed({ code, message, details }: InferenceError, from: string, to: string): InferenceError {
  const claim = message.startsWith(`${from} `) ? `${to}${message.slice(from.length)}` : message;
  const param = details.param?.replace(from, to);
  return new InferenceError(code, claim.replaceAll(`\`${from}`, `\`${to}`), { ...details, param });
}

function isWorthAnotherWorker(error: unknown): error is InferenceError {
  return error instanceof InferenceError && WORTH_ANOTHER_WORKER.has(error.code);
}

function noWorkerReady(): InferenceError {
  return new InferenceError(
    'model_not_ready',
    `No worker can serve this model just now. Try again shortly; /readyz says what is missing.`,
  );
}
