import { type AnswerEvent, type Engine, InferenceError, toInferenceError } from '@millrace/contracts';
import type { Failure, SequenceUpdate, Settled, Start } from '@millrace/contracts/protocol';
import { toAnswerRequest } from './answer-request.js';
import type { StepWriter } from './step-writer.js';

/** How a sequence ended, for the log. */
export interface SequenceEnding {
  readonly settled: Settled;
  /** Only with the reason "failed". */
  readonly error: unknown;
}

class Cancelled extends Error {}

/**
 * One sequence between the engine and a gateway: credit one way, updates the other.
 *
 * Without credit it reads no further, and the engine pauses the sequence a few tokens later, when what is unread has
 * reached the engine's bound. The end of an answer needs no credit: it is no token.
 *
 * Ownership: reads the answer, and is the only one that does. Ends in exactly one Settled, unless the stream is lost.
 */
export class ServedSequence {
  readonly #leaving = new AbortController();
  #credit: number;
  /** Ends the wait for credit, if it waits. */
  #wake: (() => void) | undefined;
  #update: SequenceUpdate | undefined;
  /** The frame that `#update` goes out with. */
  #updateFrame = -1;
  #promptTokens = 0;
  #cachedTokens = 0;
  #completionTokens: number;

  constructor(
    readonly start: Start,
    private readonly writer: StepWriter,
    private readonly stallTimeoutMs: number,
  ) {
    this.#credit = start.creditTokens;
    this.#completionTokens = start.resumeTokenIds.length;
  }

  addCredit(tokens: number): void {
    this.#credit += tokens;
    this.#wake?.();
  }

  /** The gateway wants no more of it. */
  cancel(): void {
    this.#leave(new Cancelled());
  }

  /** The worker gives it up. */
  giveUp(error: InferenceError): void {
    this.#leave(error);
  }

  #leave(reason: Error): void {
    this.#leaving.abort(reason);
    this.#wake?.();
  }

  /** From the first event to Settled. Never rejects. */
  async serve(engineFor: (model: string) => Engine): Promise<SequenceEnding> {
    const { signal } = this.#leaving;
    try {
      for await (const event of this.#ask(engineFor, signal)) {
        if (event.kind === 'finished') return this.#settle(settledWith(event));
        if (event.kind === 'begun') this.#begin(event);
        else if (this.#maySend(event)) this.#send(event.tokens, event.text);
        else await this.#sendInParts(event.tokens, event.text, signal);
      }
      throw new Error('The engine ended an answer without saying how.');
    } catch (error) {
      return this.#settle(error instanceof Cancelled ? this.#settledAs('cancelled') : this.#failed(error), error);
    }
  }

  #ask(engineFor: (model: string) => Engine, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    const request = toAnswerRequest(this.start);
    this.start.prompt = undefined; // It may be megabytes, and nobody needs it for as long as the answer takes.
    return engineFor(this.start.model).answer(request, signal);
  }

  #begin(event: Extract<AnswerEvent, { kind: 'begun' }>): void {
    const { promptTokens, cachedTokens, waitedMs } = event;
    this.#promptTokens = promptTokens;
    this.#cachedTokens = cachedTokens;
    this.#pending().begun = { promptTokens, cachedTokens, waitedMs };
  }

  #maySend({ tokens }: { readonly tokens: readonly number[] }): boolean {
    return this.#credit >= tokens.length && !this.writer.blocked;
  }

  #send(tokens: readonly number[], text: string): void {
    const update = this.#pending();
    for (const token of tokens) update.tokenIds.push(token);
    update.text += text;
    this.#credit -= tokens.length;
    this.#completionTokens += tokens.length;
  }

  /** The rare case. The text goes with the last part, since tokens may run ahead of their text but not behind it. */
  async #sendInParts(tokens: readonly number[], text: string, signal: AbortSignal): Promise<void> {
    let rest = tokens;
    do {
      await this.writer.drained();
      if (rest.length > 0 && this.#credit === 0) await this.#creditGranted();
      signal.throwIfAborted();
      const part = rest.slice(0, this.#credit);
      rest = rest.slice(part.length);
      this.#send(part, rest.length === 0 ? text : '');
    } while (rest.length > 0);
  }

  /** Resolves when there is credit, or the sequence is left. */
  async #creditGranted(): Promise<void> {
    const timer = setTimeout(() => this.#leave(stalled(this.stallTimeoutMs)), this.stallTimeoutMs);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  /** The update that goes out with the next frame; several events of one turn share it. */
  #pending(): SequenceUpdate {
    if (this.#update === undefined || this.#updateFrame !== this.writer.frame) {
      const { sequenceId, attempt } = this.start;
      this.#update = { sequenceId, attempt, begun: undefined, tokenIds: [], text: '', settled: undefined };
      this.#updateFrame = this.writer.frame;
      this.writer.add(this.#update);
    }
    return this.#update;
  }

  #settle(settled: Settled, error?: unknown): SequenceEnding {
    this.#pending().settled = settled;
    return { settled, error };
  }

  #failed(error: unknown): Settled {
    const { code, message, details } = toInferenceError(error);
    const failure: Failure = {
      code,
      message,
      param: details.param ?? '',
      retryAfterSeconds: details.retryAfterSeconds ?? 0,
    };
    return { ...this.#settledAs('failed'), failure };
  }

  /** The engine says no numbers when an answer breaks off, so these are what was sent. */
  #settledAs(reason: string): Settled {
    return {
      reason,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      cachedTokens: this.#cachedTokens,
      failure: undefined,
    };
  }
}

function stalled(allowedMs: number): InferenceError {
  const allowed = allowedMs.toLocaleString('en-US');
  return new InferenceError('client_closed_request', `Nobody read the answer for ${allowed} ms; it was dropped.`);
}

function settledWith({ reason, usage }: Extract<AnswerEvent, { kind: 'finished' }>): Settled {
  return { reason, ...usage, failure: undefined };
}
