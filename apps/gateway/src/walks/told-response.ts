import { InferenceError, isErrorCode, type ResponseBody, type ResponseEvent } from '@millrace/contracts';
import { errorEvent } from '../responses/error-event.js';
import type { BegunRun } from '../responses/response-runs.js';
import { OutputSoFar } from './output-so-far.js';
import { responseError } from './response-body.js';

/** Events that every response begins with, whoever begins it: up to this number nothing of an answer has been seen. */
export const LAST_OPENING_NUMBER = 2;

/** How a response ends, and with which events. */
export interface Ended {
  readonly kind: 'ended';
  readonly response: ResponseBody;
  readonly events: readonly ResponseEvent[];
}

/** What is told of a response in one attempt: numbered behind what was kept before, and with its end apart. */
export class ToldResponse {
  #number: number;
  #last: ResponseEvent[] = [];
  #response: ResponseBody | undefined;
  readonly #output = new OutputSoFar();
  /** Why it failed. */
  error: InferenceError | undefined;
  /** Its stream was too long to be kept, and said so: nothing is told behind that. */
  isStreamOver = false;

  constructor(private readonly run: BegunRun) {
    this.#number = run.lastNumber;
  }

  /** Somebody may have read something of its answer: another would be joined to it. */
  get isSeen(): boolean {
    return this.run.streamed && this.#number > LAST_OPENING_NUMBER;
  }

  /** What was kept of an attempt before, which is not gone on with, and not lost. */
  recall(kept: readonly ResponseEvent[]): void {
    for (const event of kept) this.#output.add(event);
    this.isStreamOver ||= kept.at(-1)?.type === 'error';
  }

  /** @returns what is to be kept now. */
  add(events: readonly ResponseEvent[]): readonly ResponseEvent[] {
    return events.flatMap((event) => {
      // Before it comes response.queued, and that it is created was told then.
      const sequence_number = event.sequence_number + 1;
      if (event.type === 'response.created' || sequence_number <= this.#number) return [];
      const told = { ...event, sequence_number };
      this.#output.add(told);
      if (this.#isOfTheEnd(told)) this.#last.push(told);
      else this.#number = sequence_number;
      return this.#last.length > 0 ? [] : [told];
    });
  }

  get hasEnded(): boolean {
    return this.#response !== undefined;
  }

  /** Once it has. @param rest what is not kept yet of what came before its end. */
  ended(rest: readonly ResponseEvent[]): Ended {
    return { kind: 'ended', response: this.#response!, events: this.#behind(rest, this.#last) };
  }

  /** What is told in place of what did not come: with all that did. @param rest as for `ended` */
  failed(thrown: unknown, rest: readonly ResponseEvent[] = []): Ended {
    const output = this.#output.items;
    const response: ResponseBody = { ...this.run.response, status: 'failed', output, error: responseError(thrown) };
    const number = this.#number + 1;
    const events: ResponseEvent[] = [
      errorEvent(thrown, number),
      { type: 'response.failed', sequence_number: number + 1, response },
    ];
    return { kind: 'ended', response, events: this.#behind(rest, events) };
  }

  #behind(rest: readonly ResponseEvent[], last: readonly ResponseEvent[]): readonly ResponseEvent[] {
    return this.isStreamOver ? rest : [...rest, ...last];
  }

  #isOfTheEnd(event: ResponseEvent): boolean {
    if (event.type === 'error') this.error = inferenceErrorOf(event);
    if ('response' in event && ENDS.has(event.response.status)) this.#response = event.response;
    return this.#last.length > 0 || this.error !== undefined || this.#response !== undefined;
  }
}

const ENDS: ReadonlySet<ResponseBody['status']> = new Set(['completed', 'incomplete', 'failed']);

function inferenceErrorOf({ code, message, param }: Extract<ResponseEvent, { type: 'error' }>): InferenceError {
  const known = code !== null && isErrorCode(code) ? code : 'internal_error';
  return new InferenceError(known, message, { param: param ?? undefined });
}
