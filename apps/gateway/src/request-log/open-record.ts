import { randomUUID } from 'node:crypto';
import {
  ERROR_CATALOG,
  type ErrorCode,
  type ModelDescription,
  type TraceContext,
  toInferenceError,
} from '@millrace/contracts';
import {
  type Call,
  type Endpoint,
  LOW_PRIORITY,
  type Outcome,
  type RequestRecord,
  type SequenceEvent,
} from '../vocabulary.js';
import { type Asking, ContentsInTheMaking } from './recorded-contents.js';
import { type Parameterised, recordedParameters } from './recorded-parameters.js';
import { RequestTrace, type Stage } from './request-trace.js';
import { NO_USAGE, type Tallied, type TotalUsage, UsageTally } from './usage-tally.js';

/** What a record wants to know of a valid request. */
export interface Concerned extends Partial<Tallied>, Parameterised, Asking {
  readonly prompts?: readonly unknown[];
  readonly bestOf?: number;
  readonly documents?: readonly unknown[];
  readonly inputs?: readonly unknown[];
  readonly model: ModelDescription;
  /** Absent: it is none that could be streamed. */
  readonly stream?: boolean;
}

/** Told of the pauses between the events of an answer. */
export type GapListener = (gapMs: number, model: string) => void;

/** A record in the making. It is told what happens and looks nothing up; closing it, the first time, writes it. */
export class OpenRecord {
  #request: Concerned | undefined;
  #awaited: string | undefined;
  #waitsSinceMs: number | undefined;
  #waitedMs = 0;
  #admitted = false;
  #handedOverMs: number | undefined;
  /** With workers that went away before they answered, after which it waited again. */
  #lostMs = 0;
  #lastEventMs: number | undefined;
  #worker: string | undefined;
  #answeredBy: ModelDescription | undefined;
  #attempts = 0;
  #firstEventMs: number | undefined;
  #lastTokenMs: number | undefined;
  #sequences = 1;
  #tally: UsageTally | undefined;
  /** Of work that is no answer. */
  #donePromptTokens: number | undefined;
  #error: unknown;
  #continued = false;
  #cached = false;
  readonly #contents: ContentsInTheMaking | undefined;
  readonly #trace: RequestTrace | undefined;
  /** Its arrival, or where another of the same call came before it, when it began. */
  readonly #startMs: number;
  #closed = false;

  /** @param contentBytesMax how much of the question, and of the answer, it holds; 0: neither. */
  constructor(
    private readonly endpoint: Endpoint,
    private readonly call: Call,
    private readonly write: (record: RequestRecord, error: unknown) => void,
    contentBytesMax = 0,
    private readonly onGap?: GapListener,
  ) {
    this.#contents = contentBytesMax > 0 ? new ContentsInTheMaking(contentBytesMax) : undefined;
    const { course } = call;
    this.#startMs = course?.begun ? performance.now() : call.arrivedMs;
    if (course) course.begun = true;
    this.#trace = RequestTrace.open(endpoint, call, this.#startMs);
  }

  concerns(request: Concerned): void {
    const { prompts = [''], bestOf = 1 } = request;
    this.#request = request;
    this.#answeredBy = request.model;
    this.#sequences = prompts.length * bestOf;
    this.#tally = new UsageTally({ prompts, bestOf });
    this.reaches('limit');
  }

  /** It is for that model, of which no worker has told yet; until `concerns`. */
  awaits(model: string): void {
    this.#awaited = model;
  }

  /** Only its trace tells of it. */
  reaches(stage: Stage): void {
    this.#trace?.begin(stage, performance.now());
  }

  /** From now on it waits: for a worker that says what is served, or for a place; or again, since its worker went away. */
  waits(): void {
    const nowMs = this.#sinceArrivalMs();
    this.#waitsSinceMs ??= nowMs;
    if (this.#handedOverMs === undefined) return;
    this.#lostMs += nowMs - this.#handedOverMs;
    this.#handedOverMs = undefined;
  }

  /** It waits no longer. */
  goesOn(): void {
    this.#waitedMs = this.#waitedSoFarMs();
    this.#waitsSinceMs = undefined;
  }

  admitted(): void {
    this.goesOn();
    this.#admitted = true;
    this.reaches('route');
  }

  /** @returns the trace that goes on there. */
  sentTo(address: string, model?: ModelDescription): TraceContext | undefined {
    this.#worker = address;
    this.#answeredBy = model ?? this.#answeredBy;
    this.#attempts++;
    this.#continued ||= this.#firstEventMs !== undefined;
    this.#handedOverMs ??= this.#sinceArrivalMs();
    this.#trace?.sentTo(address, this.#answeredBy, performance.now(), this.#attempts);
    return this.#trace?.context ?? this.call.trace;
  }

  /** Of the attempt that was sent last. */
  attemptFailed(code: ErrorCode): void {
    this.#trace?.fails(code, performance.now());
  }

  add(event: SequenceEvent): void {
    const nowMs = this.#sinceArrivalMs();
    this.#firstEventMs ??= nowMs;
    this.#lastEventMs = nowMs;
    this.#trace?.answers(nowMs + this.#startMs);
    if (event.kind === 'tokens') this.#noteTokens(nowMs);
    if (event.kind === 'finished') this.#trace?.finishes(event.index, event.reason);
    this.#tally?.add(event);
    this.#contents?.add(event);
  }

  #noteTokens(nowMs: number): void {
    const lastMs = this.#lastTokenMs;
    this.#lastTokenMs = nowMs;
    // Between the events of several sequences lies nothing that anybody waits for; nor between those that were kept.
    if (lastMs === undefined || this.#sequences > 1 || this.#cached) return;
    this.onGap?.(nowMs - lastMs, this.answeredBy.id);
  }

  /** Its answer was kept, by this model: nothing is waited for, and nothing computed. */
  foundInCache(answeredBy: ModelDescription): void {
    this.admitted();
    this.sharesAnswer(answeredBy);
    this.#handedOverMs ??= this.#sinceArrivalMs();
  }

  /** It reads along while this model answers another request. */
  sharesAnswer(answeredBy: ModelDescription): void {
    this.#answeredBy = answeredBy;
    this.#cached = true;
  }

  /** Of several that had one answer, which is the one that it was computed for: of that, all of it counts, and of the others nothing. */
  paysForAnswer(pays: boolean): void {
    this.#cached = !pays;
  }

  /** Work that comes in one piece, and is no answer, was done. */
  done(promptTokens: number): void {
    this.#donePromptTokens = promptTokens;
    this.#lastEventMs = this.#sinceArrivalMs();
  }

  /** Prompt and answers together, as far as they have come: what counts against a limit. Nothing was computed for a cached answer. */
  tokensUsed(): number {
    if (this.#cached) return 0;
    const { promptTokens, completionTokens } = this.#usage();
    return promptTokens + completionTokens;
  }

  /** Of the time since its arrival, what was not the gateway's own: it waited, or a worker had it. Undefined: none ever did. */
  get elsewhereMs(): number | undefined {
    if (this.#handedOverMs === undefined || this.#lastEventMs === undefined) return undefined;
    return this.#waitedMs + this.#lostMs + this.#lastEventMs - this.#handedOverMs;
  }

  /** The model of the worker that was asked last: the request's own, or one that stood in for it. Call after `concerns`. */
  get answeredBy(): ModelDescription {
    return this.#answeredBy!;
  }

  fail(error: unknown): void {
    this.#error = error;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const code = this.#code();
    const totalMs = this.#sinceArrivalMs();
    const record = this.#record(code, totalMs);
    this.#trace?.close(record, totalMs + this.#startMs);
    this.write(record, this.#error);
  }

  #record(code: ErrorCode | undefined, totalMs: number): RequestRecord {
    return {
      recordId: randomUUID(),
      // Not from `timeOrigin`: within weeks that clock and the day's drift apart.
      arrivedAtMs: Date.now() - totalMs,
      requestId: this.call.requestId,
      keyId: this.call.caller.keyId,
      keyName: this.call.caller.keyName,
      parameters: this.#request === undefined ? {} : recordedParameters(this.#request),
      cached: this.#cached,
      continued: this.#continued,
      contents: this.#contents?.of(this.#request),
      traceId: this.#trace?.traceId ?? this.call.trace?.traceId,
      endpoint: this.endpoint,
      model: this.#answeredBy?.id ?? this.#awaited,
      stream: this.#request?.stream ?? false,
      ...(this.call.caller.priority <= LOW_PRIORITY && { nobodyWaits: true }),
      outcome: this.#outcome(code),
      code,
      limit: this.#error === undefined ? undefined : toInferenceError(this.#error).details.limit,
      status: code === undefined ? 200 : ERROR_CATALOG[code].status,
      worker: this.#worker,
      attempts: this.#attempts,
      ...this.#usage(),
      waitedMs: this.#waitedSoFarMs(),
      firstTokenMs: this.#firstEventMs,
      perTokenMs: this.#perTokenMs(),
      totalMs,
      overheadMs: this.#handedOverMs && this.#handedOverMs - this.#waitedMs - this.#lostMs,
    };
  }

  #code(): ErrorCode | undefined {
    if (this.#error !== undefined) return toInferenceError(this.#error).code;
    // Closed without an end: whoever read the answer went away between two tokens.
    const finished = this.#donePromptTokens !== undefined || this.#tally?.finished;
    return finished ? undefined : 'client_closed_request';
  }

  #outcome(code: ErrorCode | undefined): Outcome {
    if (code === undefined) return 'served';
    // Of whom something was answered waits for somebody to go on with it: that is no longer a request that waits.
    const waiting = this.#firstEventMs === undefined && (!this.#admitted || this.#waitsSinceMs !== undefined);
    if (code === 'client_closed_request') return waiting ? 'dropped' : 'cancelled';
    if (code === 'deadline_exceeded') return waiting ? 'dropped' : 'expired';
    if (waiting && this.#waitsSinceMs !== undefined) return 'dropped';
    return waiting || ERROR_CATALOG[code].status < 500 ? 'rejected' : 'failed';
  }

  #usage(): TotalUsage {
    const answered = this.#tally?.total() ?? NO_USAGE;
    return this.#donePromptTokens === undefined ? answered : { ...answered, promptTokens: this.#donePromptTokens };
  }

  /** Sequences of one request run side by side: what counts is the time between two tokens of the same. */
  #perTokenMs(): number | undefined {
    if (this.#cached) return undefined; // Nobody took any time for them.
    const tokens = this.#usage().completionTokens / this.#sequences;
    if (tokens < 2 || this.#firstEventMs === undefined || this.#lastTokenMs === undefined) return undefined;
    return (this.#lastTokenMs - this.#firstEventMs) / (tokens - 1);
  }

  #waitedSoFarMs(): number {
    return this.#waitedMs + (this.#waitsSinceMs === undefined ? 0 : this.#sinceArrivalMs() - this.#waitsSinceMs);
  }

  #sinceArrivalMs(): number {
    return performance.now() - this.#startMs;
  }
}
