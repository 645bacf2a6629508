import type { AnswerEvent } from '@millrace/contracts';
import type { AnswerSource } from './answer-source.js';
import type { CallScope } from './call-scope.js';
import { UpstreamFailure } from './upstream-failure.js';
import type { Permit } from './waiting-line.js';

type Result = IteratorResult<AnswerEvent, undefined>;

const DONE: Result = { done: true, value: undefined };

/** What an answer asks of its engine. */
export interface AnswerHost {
  /** Begins the time of the call. */
  openScope(): CallScope;
  enter(scope: CallScope): Promise<Permit>;
  /** The upstream's answer, with what came first; tried again if that makes sense. */
  begin(scope: CallScope): Promise<{ readonly source: AnswerSource; readonly first: AnswerEvent | undefined }>;
  /** The upstream failed after the answer had begun. */
  brokeOff(failure: UpstreamFailure): void;
  /** The prompt, where the caller wants it back. */
  echo(scope: CallScope): Promise<string | undefined>;
}

/**
 * One answer, read from the upstream as fast as it is read here.
 *
 * Written by hand around a generator: `return()` of a generator waits until a pending `next()` is answered, and a reader that
 * leaves must end the upstream's work at once. Nothing is begun before the first `next()`, so an answer that is never read
 * leaves nothing behind.
 */
export class UpstreamAnswer implements AsyncIterableIterator<AnswerEvent, undefined> {
  readonly #events: AsyncGenerator<AnswerEvent, undefined>;
  #scope: CallScope | undefined;
  #left = false;

  constructor(private readonly host: AnswerHost) {
    this.#events = this.#read();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Result> {
    if (this.#left) return DONE;
    try {
      return await this.#events.next();
    } catch (error) {
      if (this.#left) return DONE;
      throw error;
    }
  }

  async return(): Promise<Result> {
    this.#left = true;
    this.#scope?.leave(new Error('The reader left.'));
    await this.#events.return(undefined).catch(() => undefined);
    return DONE;
  }

  async *#read(): AsyncGenerator<AnswerEvent, undefined> {
    const scope = this.host.openScope();
    this.#scope = scope;
    let permit: Permit | undefined;
    let source: AnswerSource | undefined;
    try {
      permit = await this.host.enter(scope);
      const begun = await this.host.begin(scope);
      source = begun.source;
      const { chunks } = source;
      const { promptTokens, cachedTokens } = chunks;
      yield { kind: 'begun', promptTokens, cachedTokens, waitedMs: permit.waitedMs };
      const echo = await this.host.echo(scope);
      if (echo !== undefined) yield { kind: 'echo', text: echo, logprobs: [] };
      for (let event = begun.first; event !== undefined; event = await source.next()) yield event;
      source = undefined;
      const rest = chunks.rest();
      if (rest !== undefined) yield rest;
      yield chunks.finished();
    } catch (error) {
      if (!(error instanceof UpstreamFailure)) throw error;
      this.host.brokeOff(error);
      throw error.error;
    } finally {
      // Not read to its end: the upstream shall stop.
      source?.close();
      permit?.release();
      scope.close();
    }
  }
}
