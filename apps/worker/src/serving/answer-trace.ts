import type { TraceContext } from '@millrace/contracts';
import type { Settled, Start } from '@millrace/contracts/protocol';
import { ATTRIBUTES, type OpenSpan, openSpan } from '@millrace/runtime';

/**
 * The spans of one sequence: of the whole, and of its wait for the model and a place, the reading of its prompt, and the choosing of its
 * tokens. Made of what the engine says anyway, whichever it is.
 *
 * Ownership: who serves the sequence tells it when it has begun, and closes it when it is settled.
 */
export class AnswerTrace {
  #begun: { readonly atMs: number; readonly waitedMs: number } | undefined;

  private constructor(
    private readonly whole: OpenSpan,
    private readonly startMs: number,
  ) {}

  /** @returns undefined where nothing is traced. */
  static open({ model, traceparent, tracestate, requestId, attempt, ...start }: Start): AnswerTrace | undefined {
    const startMs = performance.now();
    const resumed = start.resumeTokenIds.length + start.resumeUnnumberedTokens;
    const attributes = {
      [ATTRIBUTES.requestModel]: model,
      [ATTRIBUTES.requestId]: requestId,
      ...(attempt > 1 && { [ATTRIBUTES.attempt]: attempt }),
      ...(resumed > 0 && { [ATTRIBUTES.resumedTokens]: resumed }),
    };
    const parent = traceparent === '' ? undefined : { traceparent, tracestate };
    const span = openSpan({ name: `answer ${model}`, role: 'server', startMs, attributes }, parent);
    return span && new AnswerTrace(span, startMs);
  }

  /** For whoever computes it. */
  get context(): TraceContext {
    return this.whole.context;
  }

  /** The prompt was read, and the first token chosen. */
  begins(waitedMs: number): void {
    this.#begun = { atMs: performance.now(), waitedMs };
  }

  close({ reason, failure, promptTokens, completionTokens, cachedTokens }: Settled): void {
    const nowMs = performance.now();
    this.#addParts(nowMs);
    this.whole.end(
      nowMs,
      {
        [ATTRIBUTES.finishReasons]: [reason],
        [ATTRIBUTES.inputTokens]: promptTokens,
        [ATTRIBUTES.outputTokens]: completionTokens,
        ...(cachedTokens > 0 && { [ATTRIBUTES.cachedTokens]: cachedTokens }),
      },
      failure?.code,
    );
  }

  /** The engine says how long it waited there: what came before, such as the loading of its model, is a part of the wait. */
  #addParts(nowMs: number): void {
    const { whole, startMs } = this;
    const part = (name: 'wait' | 'prefill' | 'decode', fromMs: number, toMs: number) =>
      whole.add({ name, role: 'internal', startMs: fromMs }, toMs);
    const { atMs, waitedMs } = this.#begun ?? { atMs: nowMs, waitedMs: nowMs - startMs };
    const joinedMs = Math.min(startMs + waitedMs, atMs);
    part('wait', startMs, joinedMs);
    if (this.#begun === undefined) return;
    part('prefill', joinedMs, atMs);
    part('decode', atMs, nowMs);
  }
}
