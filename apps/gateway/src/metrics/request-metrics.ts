import type { ModelCapability, ModelDescription } from '@millrace/contracts';
import { ATTRIBUTES, BoundedLabel, beginAtZero, counter, histogram } from '@millrace/runtime';
import type { Endpoint, RequestRecord } from '../vocabulary.js';
import { MEASURED } from './declarations.js';
import { OPERATIONS, OURSELVES } from './operations.js';

/**
 * Workers describe their models, and a server behind one may rename its own for ever; further ones are counted as `other`. Each has
 * about 150 lines of a scrape, which holds up everything else for a millisecond (measured: 17 ms with 20, 145 ms with 100).
 */
export const MODELS_MAX = 64;
/** Of so many models series begin before the first request, at 0. Each has its lines in a scrape whether it is asked for or not. */
const BEGUN_MODELS_MAX = 8;
/** What a model of each kind is asked by. */
const ENDPOINTS: Readonly<Record<ModelCapability, readonly Endpoint[]>> = {
  chat: ['chat', 'responses', 'messages'],
  completion: ['completion'],
  embedding: ['embeddings'],
  rerank: ['rerank'],
};
/** Of so many pauses one is measured, and of all the first: somebody who tries it looks for it. */
const GAPS_TO_ONE = 16;

/** Counts and times every record. Labels come from closed sets, and from the models that workers describe. Keys are no labels. */
export class RequestMetrics {
  readonly #refusals = counter(MEASURED.refusals);
  readonly #gap = histogram(MEASURED.tokenGap);
  #gaps = 0;
  readonly #requests = counter(MEASURED.requests);
  readonly #tokens = counter(MEASURED.tokens);
  readonly #retries = counter(MEASURED.retries);
  readonly #duration = histogram(MEASURED.duration);
  readonly #firstToken = histogram(MEASURED.firstToken);
  readonly #perToken = histogram(MEASURED.perToken);
  readonly #waited = histogram(MEASURED.waited);
  readonly #overhead = histogram(MEASURED.overhead);

  /** @param models the labels of all metrics of this process. */
  constructor(private readonly models = new BoundedLabel(MODELS_MAX)) {}

  readonly #begun = new Set<string>();

  /** A model is served: from now on what it is asked is counted from 0, so that dashboards show the first request as well. */
  begin({ id, capabilities }: Pick<ModelDescription, 'id' | 'capabilities'>): void {
    // Of one that rests at zero nobody has said yet what it can.
    if (capabilities.length === 0 || this.#begun.has(id) || this.#begun.size === BEGUN_MODELS_MAX) return;
    this.#begun.add(id);
    const model = this.models.of(id);
    for (const capability of capabilities) {
      for (const endpoint of ENDPOINTS[capability]) this.#beginEndpoint(endpoint, model);
    }
    beginAtZero(this.#waited, { model });
    for (const kind of ['prompt', 'completion', 'cached']) this.#tokens.add(0, { kind, model });
    if (!capabilities.includes('chat')) return;
    beginAtZero(this.#gap, { model });
    beginAtZero(this.#overhead, { answer: 'stream' });
  }

  #beginEndpoint(endpoint: Endpoint, model: string): void {
    this.#requests.add(0, { endpoint, outcome: 'served', code: 'none', model });
    const labels = labelsOf(endpoint, model);
    beginAtZero(this.#duration, labels);
    if (endpoint === 'embeddings' || endpoint === 'rerank') return;
    beginAtZero(this.#firstToken, labels);
    beginAtZero(this.#perToken, labels);
  }

  /** A pause between two events of a sequence. Measuring takes a microsecond, and there are tens of thousands in a second. */
  readonly observeGap = (gapMs: number, model: string): void => {
    if (this.#gaps === 0) this.#gap.record(seconds(gapMs), { model: this.models.of(model) });
    this.#gaps = (this.#gaps + 1) % GAPS_TO_ONE;
  };

  readonly observe = (record: RequestRecord): void => {
    // A record has a model only once the catalog knew it, so requests for invented names add no series.
    const { endpoint, outcome, code = 'none' } = record;
    const model = record.model === undefined ? 'unknown' : this.models.of(record.model);
    this.#requests.add(1, { endpoint, outcome, code, model });
    if (record.limit !== undefined) this.#refusals.add(1, { limit: record.limit });
    if (record.model === undefined) return;
    this.#observeTimes(record, model);
    // A worker computed none of them.
    if (!record.cached) this.#observeTokens(record, model);
    if (record.attempts > 1) this.#retries.add(record.attempts - 1, { model });
  };

  #observeTimes(record: RequestRecord, model: string): void {
    const labels = labelsOf(record.endpoint, model);
    this.#duration.record(
      seconds(record.totalMs),
      record.code ? { ...labels, [ATTRIBUTES.errorType]: record.code } : labels,
    );
    // A batch may wait for as long as it likes: whether answers begin in time is asked for those that somebody waits for.
    if (record.firstTokenMs !== undefined && !record.nobodyWaits)
      this.#firstToken.record(seconds(record.firstTokenMs), labels);
    if (record.perTokenMs !== undefined) this.#perToken.record(seconds(record.perTokenMs), labels);
    // Of whole answers http/overhead.ts tells, since more of the gateway's time comes after the record was closed.
    if (record.stream && record.overheadMs !== undefined) {
      this.#overhead.record(seconds(record.overheadMs), { answer: 'stream' });
    }
    this.#waited.record(seconds(record.waitedMs), { model });
  }

  #observeTokens(record: RequestRecord, model: string): void {
    this.#tokens.add(record.promptTokens, { kind: 'prompt', model });
    this.#tokens.add(record.completionTokens, { kind: 'completion', model });
    this.#tokens.add(record.cachedTokens, { kind: 'cached', model });
  }
}

function labelsOf(endpoint: Endpoint, model: string): Readonly<Record<string, string>> {
  return {
    [ATTRIBUTES.operation]: OPERATIONS[endpoint],
    [ATTRIBUTES.provider]: OURSELVES,
    [ATTRIBUTES.requestModel]: model,
  };
}

function seconds(ms: number): number {
  return ms / 1000;
}
