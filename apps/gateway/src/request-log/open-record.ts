import { randomUUID } from 'node:crypto';
import { ERROR_CATALOG, type ErrorCode, toInferenceError } from '@millrace/contracts';
import type { Call, Endpoint, Outcome, RequestRecord, SequenceEvent } from '../vocabulary.js';
import { NO_USAGE, type Tallied, type TotalUsage, UsageTally } from './usage-tally.js';

/** What a record wants to know of a valid request. */
export interface Concerned extends Partial<Tallied> {
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
  #sequences = 1;
  #tally: UsageTally | undefined;
  /** Of work that is no answer. */
  #donePromptTokens: number | undefined;
  #error: unknown;
  #closed = false;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly call: Call,
    private readonly write: (record: RequestRecord, error: unknown) => void,
  ) {}

  concerns(request: Concerned): void {
    const { prompts = [''], bestOf = 1 } = request;
    this.#request = request;
    this.#sequences = prompts.length * bestOf;
    this.#tally = new UsageTally({ prompts, bestOf });
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

  add(event: SequenceEvent): void {
    this.#firstEventMs ??= this.#sinceArrivalMs();
    if (event.kind === 'tokens') this.#lastTokenMs = this.#sinceArrivalMs();
    this.#tally?.add(event);
  }

  /** Work that comes in one piece, and is no answer, was done. */
  done(promptTokens: number): void {
    this.#donePromptTokens = promptTokens;
  }

  /** Prompt and answers together, as far as they have come: what counts against a limit. */
  tokensUsed(): number {
    const { promptTokens, completionTokens } = this.#usage();
    return promptTokens + completionTokens;
  }

  /** The gateway's own time, once a worker has the request. */
  get overheadMs(): number | undefined {
    return this.#overheadMs;
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
        recordId: randomUUID(),
        arrivedAtMs: performance.timeOrigin + this.call.arrivedMs,
        requestId: this.call.requestId,
        keyId: this.call.caller.keyId,
        keyName: this.call.caller.keyName,
        parameters: {},
        cached: false,
        continued: false,
        contents: undefined,
        traceId: this.call.trace?.traceId,
        endpoint: this.endpoint,
        model: this.#request?.model.id,
        stream: this.#request?.stream ?? false,
        outcome: this.#outcome(code),
        code,
        status: code === undefined ? 200 : ERROR_CATALOG[code].status,
        worker: this.#worker,
        attempts: this.#attempts,
        ...this.#usage(),
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
    const finished = this.#donePromptTokens !== undefined || this.#tally?.finished;
    return finished ? undefined : 'client_closed_request';
  }

  #outcome(code: ErrorCode | undefined): Outcome {
    if (code === undefined) return 'served';
    const waiting = this.#waitedMs === undefined;
    if (code === 'client_closed_request') return waiting ? 'dropped' : 'cancelled';
    if (code === 'deadline_exceeded') return waiting ? 'dropped' : 'expired';
    return waiting || ERROR_CATALOG[code].status < 500 ? 'rejected' : 'failed';
  }

  #usage(): TotalUsage {
    const answered = this.#tally?.total() ?? NO_USAGE;
    return this.#donePromptTokens === undefined ? answered : { ...answered, promptTokens: this.#donePromptTokens };
  }

  /** Sequences of one request run side by side: what counts is the time between two tokens of the same. */
  #perTokenMs(): number | undefined {
    const tokens = this.#usage().completionTokens / this.#sequences;
    if (tokens < 2 || this.#firstEventMs === undefined || this.#lastTokenMs === undefined) return undefined;
    return (this.#lastTokenMs - this.#firstEventMs) / (tokens - 1);
  }

  /** The wait, up to now; a request that was never valid never waited. */
  #sinceValidMs(): number {
    return this.#validMs === undefined ? 0 : this.#sinceArrivalMs() - this.#validMs;
  }

  #sinceArrivalMs(): number {
    return performance.now() - this.call.arrivedMs;
  }
}
