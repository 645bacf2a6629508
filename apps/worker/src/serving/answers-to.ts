import { type AnswerEvent, type AnswerRequest, allowedMsOf, type TimeLimits } from '@millrace/contracts';
import type { Start } from '@millrace/contracts/protocol';
import type { Lease } from '../models/library-entry.js';
import type { WaitTerms } from '../models/waiting-line.js';
import { toAnswerRequests } from './answer-request.js';

/** Where models are to be had. */
export interface ModelUser {
  /** Answers that one prompt may have. */
  readonly sequencesMax: number;
  /** The settings: no request has longer, whatever it asks for. */
  readonly timeLimits: TimeLimits;
  /** @throws InferenceError when the model can't be had, or when the worker takes nothing new. */
  use(model: string, terms: WaitTerms): Promise<Lease>;
}

/** What was asked for by one Start. */
export interface AskedAnswers {
  /** Its own first, then those of its siblings. */
  readonly answers: readonly AsyncIterable<AnswerEvent>[];
  /** To be called once for each answer, when it is settled. */
  noteSettled(): void;
}

/**
 * Asks for the answers to a Start. The model may still have to be loaded; the first read of an answer waits for that, and
 * throws what is wrong with the request or the model.
 *
 * All are asked of the engine in one turn of the event loop and with the same prompt, by which it knows that they belong
 * together. One lease holds the model for all of them, until the last is settled.
 *
 * @param signals one for each answer; aborted when nobody wants it any more.
 */
export function answersTo(start: Start, signals: readonly AbortSignal[], host: ModelUser): AskedAnswers {
  const share = new LeaseShare(signals);
  const begun = begin(start, signals, host, share);
  // Each answer tells it, unless nobody wants it any more.
  begun.catch(() => undefined);
  return {
    answers: signals.map((signal, index) => new LateAnswer(begun, index, signal)),
    noteSettled: () => share.noteSettled(),
  };
}

async function begin(
  start: Start,
  signals: readonly AbortSignal[],
  host: ModelUser,
  share: LeaseShare,
): Promise<readonly AsyncIterable<AnswerEvent>[]> {
  const requests = toAnswerRequests(start, host.sequencesMax);
  const { model } = requests[0];
  const allowedMs = allowedMsOf(requests[0], host.timeLimits);
  const startedAtMs = performance.now();
  const lease = await host.use(model, { deadlineMs: allowedMs, signal: share.signal });
  share.hold(lease);
  // What was waited is no longer there to compute in.
  const leftMs = Math.max(1, allowedMs - Math.floor(performance.now() - startedAtMs));
  return requests.map((request, index) => ask(lease, { ...request, deadlineMs: leftMs }, signals[index]!));
}

function ask({ engine }: Lease, request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
  try {
    return engine.answer(request, signal);
  } catch (error) {
    return failing(error);
  }
}

/** A lease for several answers. Ownership: gives it back when the last of them is settled, also if it comes only then. */
class LeaseShare {
  readonly #nobodyLeft = new AbortController();
  #unsettled: number;
  #lease: Lease | undefined;

  constructor(signals: readonly AbortSignal[]) {
    this.#unsettled = signals.length;
    let wanted = signals.length;
    const leave = (event: Event) => {
      wanted--;
      if (wanted === 0) this.#nobodyLeft.abort((event.target as AbortSignal).reason);
    };
    for (const signal of signals) signal.addEventListener('abort', leave, { once: true });
  }

  /** Aborts when no answer is wanted any more. */
  get signal(): AbortSignal {
    return this.#nobodyLeft.signal;
  }

  hold(lease: Lease): void {
    this.#lease = lease;
    if (this.#unsettled === 0) lease[Symbol.dispose]();
  }

  noteSettled(): void {
    this.#unsettled--;
    if (this.#unsettled === 0) this.#lease?.[Symbol.dispose]();
  }
}

/**
 * An answer that is still to be asked for. Once it is there, its own iterator is read without a step between: a generator
 * here would cost every token of every answer.
 */
class LateAnswer implements AsyncIterable<AnswerEvent>, AsyncIterator<AnswerEvent, void, undefined> {
  #answer: AsyncIterator<AnswerEvent> | undefined;

  constructor(
    private readonly begun: Promise<readonly AsyncIterable<AnswerEvent>[]>,
    private readonly index: number,
    private readonly signal: AbortSignal,
  ) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<AnswerEvent, void>> {
    return this.#answer === undefined ? this.#first() : this.#answer.next();
  }

  async return(): Promise<IteratorResult<AnswerEvent, void>> {
    await this.#answer?.return?.();
    return { done: true, value: undefined };
  }

  async #first(): Promise<IteratorResult<AnswerEvent, void>> {
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(this.signal.reason);
    this.signal.addEventListener('abort', leave, { once: true });
    if (this.signal.aborted) leave();
    try {
      const answers = await Promise.race([this.begun, left.promise]);
      this.#answer = answers[this.index]![Symbol.asyncIterator]();
    } finally {
      this.signal.removeEventListener('abort', leave);
    }
    return this.#answer.next();
  }
}

// biome-ignore lint/correctness/useYield: an answer that fails before its first event has none.
async function* failing(error: unknown): AsyncGenerator<AnswerEvent, void, undefined> {
  throw error;
}
