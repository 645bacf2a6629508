import { InferenceError } from '@millrace/contracts';
import type { SequenceEvent, ValidRequest } from '../vocabulary.js';

/**
 * About 50 megabytes while they are collected, so that as many requests as run by default (64) fit in Node's heap, and 20
 * as JSON, which is written in one go: some 120 ms in which no stream goes on.
 */
const CHANCES_MAX = 250_000;

/**
 * How many log-probabilities a whole answer may still collect, those of the likeliest tokens included. Many long answers
 * with twenty of these for every token would fill the gateway's memory; a stream keeps none, and has no such limit.
 */
export class LogprobsAllowance {
  readonly #collects: boolean;
  #left = CHANCES_MAX;

  /** @param advice what to do where there are too many. */
  constructor(
    { stream, logprobs }: Pick<ValidRequest, 'stream' | 'logprobs'>,
    private readonly advice = 'Stream it, or ask for fewer tokens, answers or log-probabilities.',
  ) {
    this.#collects = !stream && logprobs !== undefined;
  }

  /** @throws InferenceError when it is used up. */
  use(event: SequenceEvent): void {
    if (!this.#collects || (event.kind !== 'echo' && event.kind !== 'tokens')) return;
    for (const { top } of event.logprobs ?? []) this.#left -= 1 + top.length;
    if (this.#left >= 0) return;
    const limit = CHANCES_MAX.toLocaleString('en');
    throw new InferenceError(
      'invalid_request',
      `The answer has more than ${limit} log-probabilities, and a whole one may have ${limit}. ${this.advice}`,
      { param: 'logprobs' },
    );
  }
}
