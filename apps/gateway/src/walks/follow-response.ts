import { type ErrorCode, InferenceError, type ResponseEvent, toInferenceError } from '@millrace/contracts';
import { errorEvent } from '../responses/error-event.js';
import type { ResponseNews } from '../responses/response-news.js';
import type { ResponseRuns } from '../responses/response-runs.js';
import { inWords } from './stored-call.js';

/** Between two looks for events that another gateway keeps, doubled while there are none; those of this one are told of at once. */
const LOOK_MS_MIN = 200;
const LOOK_MS_MAX = 2_000;
/** Behind these nothing of a response comes any more. */
const OVER: ReadonlySet<ErrorCode> = new Set(['response_cancelled', 'response_not_found']);

/**
 * The events of a response that is answered in the background, as they are kept: those that are there, and then those that come, by whichever
 * gateway. It can be left and gone on with anywhere.
 */
export class FollowResponse {
  constructor(
    private readonly runs: Pick<ResponseRuns, 'events'>,
    private readonly news: ResponseNews,
  ) {}

  /**
   * What fails once events were told is told as one more of them. Where nothing more will come, it has the next number, so that nobody who
   * goes on behind it begins anew; else it has that of the last event, since the next is one of the response's own, which is still to be read.
   *
   * @param after the sequence number of the last event that is known; -1: none is.
   * @param opening what is told without a look, as known here; `after` is the last of them.
   */
  async *run(
    id: string,
    owner: string | undefined,
    after: number,
    left: AbortSignal,
    opening: readonly ResponseEvent[] = [],
  ): AsyncGenerator<readonly ResponseEvent[]> {
    let number = after;
    try {
      if (opening.length > 0) yield opening;
      for await (const events of this.#events(id, owner, after, left)) {
        number = events.at(-1)!.sequence_number;
        yield events;
      }
    } catch (error) {
      const isOver = error instanceof InferenceError && OVER.has(error.code);
      if (number === after && opening.length === 0) throw isOver ? error : inWords(error);
      yield [isOver ? errorEvent(error, number + 1) : errorEvent(goesOn(id, number, error), number)];
    }
  }

  async *#events(
    id: string,
    owner: string | undefined,
    after: number,
    left: AbortSignal,
  ): AsyncGenerator<readonly ResponseEvent[]> {
    let number = after;
    let lookMs = LOOK_MS_MIN;
    using bell = new Bell(this.news, id, left);
    for (;;) {
      left.throwIfAborted();
      bell.listen();
      const page = await this.runs.events(owner, id, number);
      if (page === undefined) throw deleted(id);
      const { events, more, status } = page;
      if (events.length > 0) {
        yield events;
        // Where more came than are kept, the response goes on without its stream.
        if (events.at(-1)!.type === 'error') return;
        number = events.at(-1)!.sequence_number;
        lookMs = LOOK_MS_MIN;
      } else if (!more) {
        if (status === 'cancelled') throw cancelled(id);
        return;
      } else {
        await bell.rung(lookMs);
        lookMs = Math.min(LOOK_MS_MAX, 2 * lookMs);
      }
    }
  }
}

/** Remembers that it rang, from when it is listened to. */
class Bell implements Disposable {
  readonly #stop: () => void;
  #rung = Promise.withResolvers<void>();

  constructor(
    news: ResponseNews,
    id: string,
    private readonly left: AbortSignal,
  ) {
    this.#stop = news.listen(id, this.#ring);
    left.addEventListener('abort', this.#ring);
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.left.removeEventListener('abort', this.#ring);
  }

  listen(): void {
    if (!this.left.aborted) this.#rung = Promise.withResolvers();
  }

  async rung(ms: number): Promise<void> {
    const timer = setTimeout(this.#ring, ms);
    await this.#rung.promise;
    clearTimeout(timer);
  }

  readonly #ring = () => this.#rung.resolve();
}

function cancelled(id: string): InferenceError {
  return new InferenceError('response_cancelled', `The response ${id} was cancelled, and has no more events.`);
}

function deleted(id: string): InferenceError {
  return new InferenceError('response_not_found', `The response ${id} was deleted, and has no more events.`);
}

/** Only its reader is cut off: whoever sent the request again would have it answered twice. */
function goesOn(id: string, number: number, cause: unknown): InferenceError {
  const { code, details } = toInferenceError(inWords(cause));
  const why = code === 'shutting_down' ? 'This gateway stops' : 'Its events can not be read just now';
  return new InferenceError(
    code,
    `${why}, which ends this stream and not the response: read on with GET /v1/responses/${id}?stream=true&starting_after=${number}.`,
    { ...details, cause },
  );
}
