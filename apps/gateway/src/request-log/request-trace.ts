import type { ErrorCode, FinishReason, ModelDescription, TraceContext } from '@millrace/contracts';
import { ATTRIBUTES, type SpanAttributes as Attributes, type OpenSpan, openSpan } from '@millrace/runtime';
import { OPERATIONS, OURSELVES } from '../metrics/operations.js';
import type { Call, Endpoint, RequestRecord } from '../vocabulary.js';

/** What a request goes through before a worker has it, in this order; each begins where the one before it ends. */
export type Stage = 'validate' | 'limit' | 'cache' | 'admit' | 'route';

/** A request may wait and be routed anew as often as workers go away before they answer; further ones are not told apart. */
const STAGES_MAX = 64;

/**
 * The spans of one request: of the whole, of each stage it went through, and of each attempt of a worker, whose own spans are below that.
 *
 * Ownership: its record's, which tells it what happens and closes it. Times are on the clock of `performance.now()`.
 */
export class RequestTrace {
  readonly #operation: string;
  #stage: { readonly name: Stage; readonly startMs: number } | undefined;
  #stages = 0;
  #attempt: { readonly span: OpenSpan; readonly startMs: number; readonly attributes: Attributes } | undefined;
  #firstEventMs: number | undefined;
  /** By the index of the answer. */
  #finishReasons: FinishReason[] = [];

  private constructor(
    private readonly whole: OpenSpan,
    endpoint: Endpoint,
    startMs: number,
  ) {
    this.#operation = OPERATIONS[endpoint];
    this.#stage = { name: 'validate', startMs };
  }

  /** @returns undefined where nothing is traced. */
  static open(endpoint: Endpoint, call: Call, startMs: number): RequestTrace | undefined {
    const { requestId, trace, course } = call;
    const whole = course?.trace;
    // What comes after the first request of a call is a part of that.
    const route = whole === undefined ? call.route : undefined;
    const name = route === undefined ? `millrace ${endpoint}` : `${route.method} ${route.path}`;
    const attributes = {
      ...(route && { [ATTRIBUTES.method]: route.method, [ATTRIBUTES.route]: route.path }),
      [ATTRIBUTES.requestId]: requestId,
      [ATTRIBUTES.endpoint]: endpoint,
    };
    const span = openSpan(
      { name, role: route === undefined ? 'internal' : 'server', startMs, attributes },
      whole ?? trace,
    );
    if (course && span) course.trace ??= span.context;
    return span && new RequestTrace(span, endpoint, startMs);
  }

  get traceId(): string {
    return this.whole.traceId;
  }

  /** For what is asked of others in its course, outside an attempt. */
  get context(): TraceContext {
    return this.#attempt?.span.context ?? this.whole.context;
  }

  begin(stage: Stage, nowMs: number): void {
    if (this.#stage?.name === stage) return;
    this.#endAttempt(nowMs);
    this.#endStage(nowMs);
    this.#stage = { name: stage, startMs: nowMs };
  }

  sentTo(address: string, model: ModelDescription | undefined, nowMs: number, attempt: number): void {
    this.#endStage(nowMs);
    this.#endAttempt(nowMs);
    const attributes: Attributes = {
      [ATTRIBUTES.operation]: this.#operation,
      [ATTRIBUTES.provider]: model?.provider?.name ?? OURSELVES,
      [ATTRIBUTES.requestModel]: model?.id,
      ...serverOf(address),
      [ATTRIBUTES.attempt]: attempt,
    };
    const name = `${this.#operation} ${model?.id ?? ''}`.trimEnd();
    const span = this.whole.open({ name, role: 'client', startMs: nowMs });
    this.#attempt = { span, startMs: nowMs, attributes };
  }

  /** The first event of the answer has come, or of what goes on with it. */
  answers(nowMs: number): void {
    this.#firstEventMs ??= nowMs;
  }

  /** An answer has ended; the others of the request may go on. */
  finishes(index: number, reason: FinishReason): void {
    this.#finishReasons[index] = reason;
  }

  /** The attempt has failed; another may follow. */
  fails(code: ErrorCode, nowMs: number): void {
    this.#endAttempt(nowMs, {}, code);
  }

  close(record: RequestRecord, nowMs: number): void {
    this.#endStage(nowMs);
    const { code, status, outcome, model } = record;
    this.#endAttempt(nowMs, answerAttributes(record), code);
    this.whole.end(
      nowMs,
      {
        ...(model !== undefined && { [ATTRIBUTES.requestModel]: model }),
        [ATTRIBUTES.status]: status,
        [ATTRIBUTES.outcome]: outcome,
        [ATTRIBUTES.cached]: record.cached,
        ...(record.continued && { [ATTRIBUTES.continued]: true }),
        ...(record.attempts > 1 && { [ATTRIBUTES.attempts]: record.attempts }),
        ...(record.keyId !== undefined && { [ATTRIBUTES.keyId]: record.keyId }),
      },
      code,
    );
  }

  #endStage(nowMs: number): void {
    const stage = this.#stage;
    this.#stage = undefined;
    if (stage === undefined || ++this.#stages > STAGES_MAX) return;
    this.whole.add({ name: stage.name, role: 'internal', startMs: stage.startMs }, nowMs);
  }

  #endAttempt(nowMs: number, attributes: Attributes = {}, failure?: ErrorCode): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    const firstMs = this.#firstEventMs;
    this.#firstEventMs = undefined;
    attempt.span.end(
      nowMs,
      {
        ...attempt.attributes,
        ...attributes,
        ...(this.#finishReasons.length > 0 && { [ATTRIBUTES.finishReasons]: Object.values(this.#finishReasons) }),
        ...(firstMs !== undefined && { [ATTRIBUTES.firstChunkSeconds]: (firstMs - attempt.startMs) / 1000 }),
      },
      failure,
    );
  }
}

/** `10.0.0.7:8100`, `[::1]:8100`; what is no address of a machine, such as `queue:default`, stays as it is. */
function serverOf(address: string): Attributes {
  const [, host, port] = /^(?!queue:|provider:)\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
  if (host === undefined) return { [ATTRIBUTES.serverAddress]: address };
  return { [ATTRIBUTES.serverAddress]: host, [ATTRIBUTES.serverPort]: Number(port) };
}

/** Of what an answer was asked with and took: no text of the caller's is among it. */
function answerAttributes({ parameters, ...record }: RequestRecord): Attributes {
  const attributes: Attributes = {
    [ATTRIBUTES.streamed]: record.stream,
    [ATTRIBUTES.inputTokens]: record.promptTokens,
    [ATTRIBUTES.outputTokens]: record.completionTokens,
    ...(record.cachedTokens > 0 && { [ATTRIBUTES.cachedTokens]: record.cachedTokens }),
    ...(record.reasoningTokens > 0 && { [ATTRIBUTES.reasoningTokens]: record.reasoningTokens }),
    ...(record.model !== undefined && { [ATTRIBUTES.responseModel]: record.model }),
  };
  for (const [parameter, attribute] of PARAMETERS) {
    const value = parameters[parameter];
    if (typeof value === 'number') attributes[attribute] = value;
  }
  return attributes;
}

const PARAMETERS = [
  ['max_tokens', ATTRIBUTES.maxTokens],
  ['temperature', ATTRIBUTES.temperature],
  ['top_p', ATTRIBUTES.topP],
  ['top_k', ATTRIBUTES.topK],
  ['seed', ATTRIBUTES.seed],
  ['frequency_penalty', ATTRIBUTES.frequencyPenalty],
  ['presence_penalty', ATTRIBUTES.presencePenalty],
  ['n', ATTRIBUTES.choices],
] as const;
