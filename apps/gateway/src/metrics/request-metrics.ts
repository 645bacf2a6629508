import { counter, histogram } from '@millrace/runtime';
import type { RequestRecord } from '../vocabulary.js';
import { MEASURED } from './declarations.js';
import { OPERATIONS } from './operations.js';

/**
 * Workers describe their models, and a server behind one may rename its own for ever; further ones are counted as `other`. Each has
 * about 150 lines of a scrape, which holds up everything else for a millisecond (measured: 17 ms with 20, 145 ms with 100).
 */
const MODELS_MAX = 64;

/** Counts and times every record. Labels come from closed sets, and from the models that workers describe. Keys are no labels. */
export class RequestMetrics {
  readonly #models = new Set<string>();
  readonly #requests = counter(MEASURED.requests);
  readonly #tokens = counter(MEASURED.tokens);
  readonly #retries = counter(MEASURED.retries);
  readonly #duration = histogram(MEASURED.duration);
  readonly #firstToken = histogram(MEASURED.firstToken);
  readonly #perToken = histogram(MEASURED.perToken);
  readonly #waited = histogram(MEASURED.waited);
  readonly #overhead = histogram(MEASURED.overhead);

  readonly observe = (record: RequestRecord): void => {
    // A record has a model only once the catalog knew it, so requests for invented names add no series.
    const { endpoint, outcome, code = 'none' } = record;
    const model = record.model === undefined ? 'unknown' : this.#label(record.model);
    this.#requests.add(1, { endpoint, outcome, code, model });
    if (record.model === undefined) return;
    this.#observeTimes(record, model);
    // A worker computed none of them.
    if (!record.cached) this.#observeTokens(record, model);
    if (record.attempts > 1) this.#retries.add(record.attempts - 1, { model });
  };

  #label(model: string): string {
    if (this.#models.size < MODELS_MAX) this.#models.add(model);
    return this.#models.has(model) ? model : 'other';
  }

  #observeTimes(record: RequestRecord, model: string): void {
    const labels = { 'gen_ai.operation.name': OPERATIONS[record.endpoint], 'gen_ai.request.model': model };
    this.#duration.record(seconds(record.totalMs), record.code ? { ...labels, 'error.type': record.code } : labels);
    if (record.firstTokenMs !== undefined) this.#firstToken.record(seconds(record.firstTokenMs), labels);
    if (record.perTokenMs !== undefined) this.#perToken.record(seconds(record.perTokenMs), labels);
    // Of whole answers http/overhead.ts tells, since more of the gateway's time comes after the record was closed.
    if (record.stream && record.overheadMs !== undefined) {
      this.#overhead.record(seconds(record.overheadMs), { answer: 'stream' });
    }
    this.#waited.record(seconds(record.waitedMs));
  }

  #observeTokens(record: RequestRecord, model: string): void {
    this.#tokens.add(record.promptTokens, { kind: 'prompt', model });
    this.#tokens.add(record.completionTokens, { kind: 'completion', model });
    this.#tokens.add(record.cachedTokens, { kind: 'cached', model });
  }
}

function seconds(ms: number): number {
  return ms / 1000;
}
