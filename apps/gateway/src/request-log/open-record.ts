import { type AnswerEvent, ERROR_CATALOG, type ErrorCode, toInferenceError } from '@millrace/contracts';
import type { Call, Endpoint, Outcome, RequestRecord } from '../vocabulary.js';

/** What a record wants to know of a valid request. */
export interface Concerned {
  readonly model: { readonly id: string };
  /** Absent: it is none that could be streamed. */
  readonly stream?: boolean;
}

/** A record in the making. It is told what happens and looks nothing up; closing it, the first time, writes it. */
export class OpenRecord {
  #request: Concerned | undefined;
  #validMs: number | undefined;
  #waitedMs: number | undefined;
  #overheadMs: number | undefined;
  #worker: string | undefined;
  #attempts = 0;
  #firstEventMs: number | undefined;
  #lastTokenMs: number | undefined;
  #usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
  #finished = false;
  #error: unknown;
  #closed = false;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly call: Call,
    private readonly write: (record: RequestRecord, error: unknown) => void,
  ) {}

  /** Runs what comes before there is a stream to close; a refusal there ends the record. */
  closeIfThrown<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      this.fail(error);
      this.close();
      throw error;
    }
  }

  concerns(request: Concerned): void {
    this.#request = request;
    this.#validMs = this.#sinceArrivalMs();
  }

  admitted(): void {
    this.#waitedMs = this.#sinceValidMs();
  }

  sentTo(address: string): void {
    this.#worker = address;
    this.#attempts++;
    this.#overheadMs ??= this.#sinceArrivalMs() - (this.#waitedMs ?? 0);
  }

  add(event: AnswerEvent): void {
    this.#firstEventMs ??= this.#sinceArrivalMs();
    if (event.kind === 'begun') {
      this.#usage.promptTokens = event.promptTokens;
      this.#usage.cachedTokens = event.cachedTokens;
    }
    if (event.kind === 'tokens') {
      this.#usage.completionTokens += event.tokens.length;
      this.#lastTokenMs = this.#sinceArrivalMs();
    }
    if (event.kind === 'finished') {
      this.#usage = { ...event.usage };
      this.#finished = true;
    }
  }

  /** Work that comes in one piece, and is no answer, was done. */
  done(promptTokens: number): void {
    this.#usage.promptTokens = promptTokens;
    this.#finished = true;
  }

  fail(error: unknown): void {
    this.#error = error;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const code = this.#code();
    this.write(
      {
        requestId: this.call.requestId,
        traceId: this.call.trace?.traceId,
        endpoint: this.endpoint,
        model: this.#request?.model.id,
        stream: this.#request?.stream ?? false,
        outcome: this.#outcome(code),
        code,
        status: code === undefined ? 200 : ERROR_CATALOG[code].status,
        worker: this.#worker,
        attempts: this.#attempts,
        ...this.#usage,
        waitedMs: this.#waitedMs ?? this.#sinceValidMs(),
        firstTokenMs: this.#firstEventMs,
        perTokenMs: this.#perTokenMs(),
        totalMs: this.#sinceArrivalMs(),
        overheadMs: this.#overheadMs,
      },
      this.#error,
    );
  }

  #code(): ErrorCode | undefined {
    if (this.#error !== undefined) return toInferenceError(this.#error).code;
    // Closed without an end: whoever read the answer went away between two tokens.
    return this.#finished ? undefined : 'client_closed_request';
  }

  #outcome(code: ErrorCode | undefined): Outcome {
    if (code === undefined) return 'served';
    const waiting = this.#waitedMs === undefined;
    if (code === 'client_closed_request') return waiting ? 'dropped' : 'cancelled';
    if (code === 'deadline_exceeded') return waiting ? 'dropped' : 'expired';
    return waiting || ERROR_CATALOG[code].status < 500 ? 'rejected' : 'failed';
  }

  #perTokenMs(): number | undefined {
    const { completionTokens } = this.#usage;
    if (completionTokens < 2 || this.#firstEventMs === undefined || this.#lastTokenMs === undefined) return undefined;
    return (this.#lastTokenMs - this.#firstEventMs) / (completionTokens - 1);
  }

  /** The wait, up to now; a request that was never valid never waited. */
  #sinceValidMs(): number {
    return this.#validMs === undefined ? 0 : this.#sinceArrivalMs() - this.#validMs;
  }

  #sinceArrivalMs(): number {
    return performance.now() - this.call.arrivedMs;
  }
}
