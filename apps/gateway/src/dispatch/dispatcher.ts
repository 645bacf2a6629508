import {
  type ErrorCode,
  InferenceError,
  type ModelDescription,
  type Sampling,
  type TraceContext,
  type WorkRequest,
} from '@millrace/contracts';
import type { Call, Deadline, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import { DeliveredAnswers } from './delivered-answer.js';
import type { AnswerAttempt, AttemptSequence, WorkerClient } from './worker-client.js';

/** Who wants to know which worker was asked: the request's record. */
export interface DispatchNotes {
  /** @returns the trace that the worker is asked in. */
  sentTo(address: string, model: ModelDescription): TraceContext | undefined;
  /** That one did not answer, or broke off, and another may be asked. */
  attemptFailed(code: ErrorCode): void;
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

/** Attempts one after another that bring no token. With more, a request that kills workers would kill them all. */
const ATTEMPTS_MAX = 3;
/** Attempts at one answer in all: a long one may see every worker of a pool be replaced, and one after another die. */
const ATTEMPTS_IN_ALL_MAX = 16;

/** Failures that say something about the worker and nothing about the request, so another worker may well answer. */
const WORTH_ANOTHER_WORKER: ReadonlySet<ErrorCode> = new Set([
  'worker_lost',
  'model_not_ready',
  'model_failed',
  // It was asked since it said that it has the model: that is its mistake, and not the caller's.
  'model_not_found',
  'upstream_failed',
  // Its key is refused, which is for whoever runs it to mend; another has another, or a model that stands in.
  'upstream_unauthorized',
  'shutting_down',
  'rate_limit_exceeded',
  'internal_error',
  'answer_broken_off',
]);

/** Noted on answers that went on at another worker, where their headers are not sent yet. */
const CONTINUED = { 'x-millrace-continued': 'true' } as const;

/**
 * Finds one worker that answers, of those that it is given one at a time; and, where that one breaks off, another that
 * goes on. Whoever reads the answer sees one stream: nothing twice, and nothing missing.
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
    const sequences = sequencesOf(request);
    const delivered = new DeliveredAnswers(sequences.length);
    const attempts = new Attempts();
    const nowSeconds = Math.floor(Date.now() / 1000);
    for await (const candidate of candidates) {
      const { worker, model } = candidate;
      let answered = false;
      try {
        deadline.signal.throwIfAborted();
        const trace = notes.sentTo(worker.address, model);
        if (attempts.anyAnswered) call.tell(CONTINUED);
        const number = attempts.begin(delivered.tokens);
        delivered.beginAttempt();
        const left = leftOf(sequences, delivered);
        if (left.length === 0) return;
        const asked = { ...toAttempt(number, model.id, request, call, deadline), trace, nowSeconds, sequences: left };
        for await (const event of worker.answer(asked, deadline.signal)) {
          if (!answered) {
            answered = true;
            attempts.anyAnswered = true;
            candidate.answered();
          }
          const unseen = delivered.pass(event);
          if (unseen !== undefined) yield unseen;
        }
        return;
      } catch (error) {
        deadline.signal.throwIfAborted(); // Whatever it says then, nobody waits for another.
        if (!isWorthAnotherWorker(error)) throw inWordsOf(request, error);
        notes.attemptFailed(error.code);
        // That it can't go on with another's answer is no fault of its own.
        if (error.code !== 'answer_broken_off') candidate.failed(error);
        attempts.failed(error, delivered.tokens);
      }
      if (attempts.spent || !delivered.resumable) break;
    }
    throw inWordsOf(request, lastWord(attempts.failure));
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
    for await (const candidate of candidates) {
      const { worker, model } = candidate;
      deadline.signal.throwIfAborted();
      const trace = notes.sentTo(worker.address, model);
      const heading: WorkRequest = {
        requestId: call.requestId,
        trace,
        model: model.id,
        deadlineMs: Math.max(1, deadline.remainingMs()),
        priority: call.caller.priority,
      };
      try {
        const result = await ask(worker, heading, deadline.signal);
        candidate.answered();
        return result;
      } catch (error) {
        deadline.signal.throwIfAborted();
        if (!isWorthAnotherWorker(error)) throw error;
        notes.attemptFailed(error.code);
        candidate.failed(error);
        failure = error;
      }
      if (++attempt === ATTEMPTS_MAX) break;
    }
    throw lastWord(failure);
  }
}

/** How often a request was asked for, and what came of it. */
class Attempts {
  /** Whether anything has come of any of them. */
  anyAnswered = false;
  #all = 0;
  #fruitless = 0;
  #tokensBefore = 0;
  #failure: InferenceError | undefined;

  /** The number of the one that begins. */
  begin(tokens: number): number {
    this.#tokensBefore = tokens;
    return ++this.#all;
  }

  failed(error: InferenceError, tokens: number): void {
    const fruitful = tokens > this.#tokensBefore;
    this.#fruitless = fruitful ? 0 : this.#fruitless + 1;
    // Once an answer has begun, why it broke off says more than why others did not go on with it; unless they never can.
    if (fruitful || !this.anyAnswered || error.code === 'answer_broken_off') this.#failure = error;
    this.#failure ??= error;
  }

  get spent(): boolean {
    return this.#fruitless >= ATTEMPTS_MAX || this.#all >= ATTEMPTS_IN_ALL_MAX;
  }

  get failure(): InferenceError | undefined {
    return this.#failure;
  }
}

/** What is still to be answered, and from where. */
function leftOf(sequences: readonly AttemptSequence[], delivered: DeliveredAnswers): readonly AttemptSequence[] {
  return sequences
    .filter(({ index }) => !delivered.isFinished(index))
    .map((sequence) => ({ ...sequence, resume: delivered.resumeOf(sequence.index) }));
}

function toAttempt(
  attempt: number,
  model: string,
  request: ValidAnswerRequest,
  call: Call,
  deadline: Deadline,
): Omit<AnswerAttempt, 'sequences' | 'nowSeconds' | 'trace'> {
  const { n, bestOf, format, stop, echo } = request;
  const overrides = [request.model, ...request.fallbacks].find(({ id }) => id === model)?.overrides;
  return {
    requestId: call.requestId,
    attempt,
    mayBeStoodIn: model !== (request.fallbacks.at(-1) ?? request.model).id,
    model,
    sampling: overrides === undefined ? request.sampling : withDefaults(request.sampling, overrides.sampling),
    format,
    // The best of several are found by their log-probabilities, though the caller may not want to see them.
    logprobs: request.logprobs ?? (bestOf > n ? 0 : undefined),
    echo,
    maxTokens: request.maxTokens ?? overrides?.maxTokens,
    stop,
    deadlineMs: Math.max(1, deadline.remainingMs()),
    priority: call.caller.priority,
  };
}

/** What the caller says, before what the models file says for those who say nothing. */
function withDefaults(sampling: Sampling, defaults: Sampling): Sampling {
  const said = Object.entries(sampling).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(said) };
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
function inWordsOf(
  { n, bestOf, schemaParam = SCHEMA_PARAM, toolPlaces, oldCalls }: ValidAnswerRequest,
  error: unknown,
): unknown {
  if (!(error instanceof InferenceError)) return error;
  const { param = '' } = error.details;
  if (param === 'n' && bestOf > n) return renamed(error, 'n', 'best_of');
  const [, tool] = /^tools\[(\d+)\]/.exec(param) ?? [];
  if (tool !== undefined && oldCalls) return renamed(error, `tools[${tool}].function`, `functions[${tool}]`);
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

/** To the caller the model exists, whatever a worker says that was to have it. */
function lastWord(failure: InferenceError | undefined): InferenceError {
  return failure === undefined || failure.code === 'model_not_found' ? noWorkerReady(failure) : failure;
}

function noWorkerReady(cause?: InferenceError): InferenceError {
  return new InferenceError(
    'model_not_ready',
    `No worker can serve this model just now. Try again shortly; /readyz says what is missing.`,
    { cause },
  );
}
