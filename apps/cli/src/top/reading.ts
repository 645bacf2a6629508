import type { HealthBody } from '@millrace/contracts';
import {
  EMPTY,
  type Histogram,
  histogramBetween,
  histogramIn,
  meanOf,
  type Quantile,
  quantileOf,
} from './histogram.js';
import { GATEWAY, WORKER } from './metric-names.js';
import type { MetricsText, Sample } from './metrics-text.js';

/** What a gateway and its workers said of themselves at one moment. */
export interface Reading {
  /** On a clock that only goes forward. */
  readonly atMs: number;
  readonly metrics: MetricsText;
  readonly health: Pick<HealthBody, 'version' | 'ready' | 'workers'>;
  /** By address; undefined: it did not answer. */
  readonly workers: ReadonlyMap<string, MetricsText | undefined>;
}

export interface Latency {
  readonly p50: Quantile | undefined;
  readonly p95: Quantile | undefined;
  readonly p99: Quantile | undefined;
}

/** What happened between two readings. Rates are for each second. */
export interface Interval {
  readonly requests: number;
  readonly byOutcome: Readonly<Record<string, number>>;
  readonly answerTokens: number;
  readonly promptTokens: number;
  /** Of the prompts' tokens, those that needed no computing; undefined: there were none. */
  readonly cachedPart: number | undefined;
  readonly firstToken: Latency;
  readonly total: Latency;
  readonly perToken: Latency;
  readonly waited: Latency;
  readonly models: readonly ModelInterval[];
  readonly workers: readonly WorkerInterval[];
}

export interface ModelInterval {
  readonly model: string;
  readonly requests: number;
  readonly answerTokens: number;
  readonly firstToken: Latency;
  readonly total: Latency;
}

export interface WorkerInterval {
  readonly address: string;
  /** Undefined: it did not answer, then or now. */
  readonly figures:
    | {
        readonly running: number;
        readonly waiting: number;
        /** Sequences that shared a step, on average; undefined: there was no step. */
        readonly batchMean: number | undefined;
        /** Those that may; undefined: it does not say. */
        readonly batchMax: number | undefined;
        readonly step: Latency;
        readonly generatedTokens: number;
        readonly cachedPart: number | undefined;
      }
    | undefined;
}

/** Looking is no work: without this, watching an idle gateway would show requests. */
const isWork = ({ endpoint, gen_ai_operation_name: operation }: Sample['labels']): boolean =>
  endpoint !== 'admin' && operation !== 'admin';

/** A gauge, or a counter: all its series that `wanted` lets through, added up. */
export function valueIn(
  metrics: MetricsText,
  name: string,
  wanted: (labels: Sample['labels']) => boolean = () => true,
): number {
  return (metrics.get(name) ?? []).reduce((sum, { labels, value }) => (wanted(labels) ? sum + value : sum), 0);
}

/**
 * Whether the gateway started anew in between, so that it counts from 0. Not told by each figure alone: one that has grown past what it
 * was before would be taken for the rest.
 */
export function hasRestarted(before: Reading, after: Reading): boolean {
  return [GATEWAY.requests, `${GATEWAY.total}_count`].some((name) => {
    const now = new Map((after.metrics.get(name) ?? []).map(({ labels, value }) => [seriesOf(labels), value]));
    return (before.metrics.get(name) ?? []).some(({ labels, value }) => (now.get(seriesOf(labels)) ?? 0) < value);
  });
}

export function between(before: Reading, after: Reading): Interval {
  const seconds = Math.max(after.atMs - before.atMs, 1) / 1_000;
  const pair = new Pair(before.metrics, after.metrics, seconds);
  return {
    requests: pair.rate(GATEWAY.requests, isWork),
    byOutcome: pair.rates(GATEWAY.requests, 'outcome', isWork),
    answerTokens: pair.rate(GATEWAY.tokens, ({ kind }) => kind === 'completion'),
    promptTokens: pair.rate(GATEWAY.tokens, ({ kind }) => kind === 'prompt'),
    cachedPart: pair.part(GATEWAY.tokens, 'cached', 'prompt'),
    firstToken: pair.latency(GATEWAY.firstToken),
    total: pair.latency(GATEWAY.total, isWork),
    perToken: pair.latency(GATEWAY.perToken),
    waited: pair.latency(GATEWAY.waited),
    models: pair.values(GATEWAY.requests, 'model').map((model) => modelInterval(pair, model)),
    workers: [...after.workers].map(([address, metrics]) => ({
      address,
      figures: workerFigures(before.workers.get(address), metrics, seconds),
    })),
  };
}

function modelInterval(pair: Pair, model: string): ModelInterval {
  const ofModel = ({ gen_ai_request_model }: Sample['labels']) => gen_ai_request_model === model;
  return {
    model,
    requests: pair.rate(GATEWAY.requests, (labels) => isWork(labels) && labels.model === model),
    answerTokens: pair.rate(GATEWAY.tokens, (labels) => labels.kind === 'completion' && labels.model === model),
    firstToken: pair.latency(GATEWAY.firstToken, ofModel),
    total: pair.latency(GATEWAY.total, (labels) => isWork(labels) && ofModel(labels)),
  };
}

function workerFigures(before: MetricsText | undefined, after: MetricsText | undefined, seconds: number) {
  if (before === undefined || after === undefined) return undefined;
  const pair = new Pair(before, after, seconds);
  return {
    running: valueIn(after, WORKER.running),
    waiting: valueIn(after, WORKER.waiting),
    batchMean: meanOf(pair.histogram(WORKER.batchSize)),
    batchMax: valueIn(after, WORKER.batchSizeMax) || undefined,
    step: pair.latency(WORKER.stepSeconds),
    generatedTokens: pair.rate(WORKER.tokens, ({ kind }) => kind === 'generated'),
    cachedPart: pair.cachedOfRead(),
  };
}

/** The metrics of one process, then and now. */
class Pair {
  constructor(
    private readonly before: MetricsText,
    private readonly after: MetricsText,
    private readonly seconds: number,
  ) {}

  /** Series by series: of a process that started anew, what it has counted since. */
  #grown(name: string, wanted: (labels: Sample['labels']) => boolean): number {
    const known = new Map((this.before.get(name) ?? []).map(({ labels, value }) => [seriesOf(labels), value]));
    return (this.after.get(name) ?? [])
      .filter(({ labels }) => wanted(labels))
      .reduce((sum, { labels, value }) => {
        const old = known.get(seriesOf(labels)) ?? 0;
        return sum + (value < old ? value : value - old);
      }, 0);
  }

  rate(name: string, wanted: (labels: Sample['labels']) => boolean): number {
    return this.#grown(name, wanted) / this.seconds;
  }

  rates(name: string, label: string, wanted: (labels: Sample['labels']) => boolean): Record<string, number> {
    return Object.fromEntries(
      this.values(name, label).map((value) => [
        value,
        this.rate(name, (labels) => wanted(labels) && labels[label] === value),
      ]),
    );
  }

  /** All values that a label has. */
  values(name: string, label: string): string[] {
    const values = (this.after.get(name) ?? [])
      .filter(({ labels }) => isWork(labels))
      .map(({ labels }) => labels[label] ?? '');
    return [...new Set(values)].toSorted();
  }

  part(name: string, part: string, whole: string): number | undefined {
    const all = this.#grown(name, ({ kind }) => kind === whole);
    return all > 0 ? this.#grown(name, ({ kind }) => kind === part) / all : undefined;
  }

  /** A worker counts what it read apart from what it found read already. */
  cachedOfRead(): number | undefined {
    const cached = this.#grown(WORKER.tokens, ({ kind }) => kind === 'cached');
    const all = cached + this.#grown(WORKER.tokens, ({ kind }) => kind === 'prompt');
    return all > 0 ? cached / all : undefined;
  }

  histogram(name: string, wanted?: (labels: Sample['labels']) => boolean): Histogram {
    const [before, after] = [this.before, this.after].map((metrics) => histogramIn(metrics, name, wanted));
    return histogramBetween(before ?? EMPTY, after ?? EMPTY);
  }

  latency(name: string, wanted?: (labels: Sample['labels']) => boolean): Latency {
    const histogram = this.histogram(name, wanted);
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantileOf(histogram, share));
    return { p50, p95, p99 };
  }
}

function seriesOf(labels: Sample['labels']): string {
  return JSON.stringify(Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
