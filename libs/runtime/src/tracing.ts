import { ERROR_CATALOG, type ErrorCode, type TraceContext } from '@millrace/contracts';
import {
  type Attributes,
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { ATTRIBUTES } from './semantic-names.js';

/**
 * Spans with times that are told, rather than taken when a call is made: what a request went through is known when it has ended, and
 * until then it costs a number for each of its stages.
 *
 * Nothing is found by the call stack: who has a parent says so. (A context that follows every `await` costs each of them something,
 * traced or not.)
 */

let tracer: Tracer | undefined;

/** From now on spans are made, by the tracer provider of this process; or, with `false`, none any more. */
export function switchTracing(on: boolean): void {
  tracer = on ? trace.getTracer('millrace') : undefined;
}

export type SpanAttributes = Attributes;
export type SpanRole = 'server' | 'client' | 'internal';

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const;

export interface SpanStart {
  readonly name: string;
  readonly role: SpanRole;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly attributes?: Attributes;
}

/** @returns undefined where nothing is traced. */
export function openSpan(start: SpanStart, parent: TraceContext | undefined): OpenSpan | undefined {
  return tracer && new OpenSpan(tracer, start, parent === undefined ? ROOT_CONTEXT : contextOf(parent));
}

/** A span that has not ended. One that was not sampled has a context all the same, by which the next process knows. */
export class OpenSpan {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #role: SpanRole;
  readonly #sampled: boolean;
  /** What its parts begin in; made once, since a request has some six of them. */
  readonly #within: Context;
  /** For whoever is asked in its course. */
  readonly context: TraceContext;

  constructor(tracer: Tracer, start: SpanStart, parent: Context) {
    this.#tracer = tracer;
    this.#role = start.role;
    this.#span = startSpan(tracer, start, parent);
    this.#within = trace.setSpan(ROOT_CONTEXT, this.#span);
    this.#sampled = this.#span.isRecording();
    const { traceId, spanId, traceFlags, traceState } = this.#span.spanContext();
    this.context = {
      traceparent: `00-${traceId}-${spanId}-${traceFlags & TraceFlags.SAMPLED ? '01' : '00'}`,
      tracestate: traceState?.serialize() ?? '',
    };
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  open(start: SpanStart): OpenSpan {
    return new OpenSpan(this.#tracer, start, this.#within);
  }

  /** A part of it that is over. */
  add(start: SpanStart, endMs: number): void {
    if (!this.#sampled) return;
    startSpan(this.#tracer, start, this.#within).end(unixMs(Math.max(endMs, start.startMs)));
  }

  /** @param failure a code of the catalog; absent: it went as it should. */
  end(endMs: number, attributes: Attributes = {}, failure?: string): void {
    if (!this.#sampled) return;
    this.#span.setAttributes(attributes);
    if (failure !== undefined) {
      this.#span.setAttribute(ATTRIBUTES.errorType, failure);
      if (isFailureOf(this.#role, failure)) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end(unixMs(endMs));
  }
}

/**
 * As OpenTelemetry's conventions have it: what the caller got wrong (4xx) is no failure of whoever serves it, or every rate of failed spans
 * would count it; it is one of whoever asks. That nobody waits for the answer any more is a failure of neither.
 */
function isFailureOf(role: SpanRole, code: string): boolean {
  if (code === 'client_closed_request') return false;
  return role === 'client' || (ERROR_CATALOG[code as ErrorCode]?.status ?? 500) >= 500;
}

function startSpan(by: Tracer, { name, role, startMs, attributes = {} }: SpanStart, parent: Context): Span {
  return by.startSpan(name, { kind: KINDS[role], startTime: unixMs(startMs), attributes }, parent);
}

// version-traceid-parentid-flags; whoever hands it over has checked it.
const PARTS = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

function contextOf({ traceparent, tracestate }: TraceContext): Context {
  const [, traceId, spanId, flags = '00'] = PARTS.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(tracestate !== '' && { traceState: createTraceState(tracestate) }),
  });
}

/** Beyond it, the two clocks have drifted apart. */
const DRIFT_MS_MAX = 5;
let originMs = performance.timeOrigin;

/**
 * As Unix time, with its fractions. One offset for all spans of a process, or a part would begin before its whole: `Date.now()` knows
 * whole milliseconds only.
 */
function unixMs(ms: number): number {
  const driftMs = Date.now() - (originMs + performance.now());
  if (Math.abs(driftMs) > DRIFT_MS_MAX) originMs += driftMs;
  return originMs + ms;
}
