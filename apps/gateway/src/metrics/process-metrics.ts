import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ModelDescription } from '@millrace/contracts';
import { type BoundedLabel, gauge, lostLogLines, SumsByModel } from '@millrace/runtime';
import type { WorkerPhase } from '../vocabulary.js';
import { MEASURED } from './declarations.js';

export type ServedModel = Pick<ModelDescription, 'id' | 'capabilities'>;

export interface Watched {
  /** By model, and `undefined` for those of which nobody knows yet which it is. */
  running(): ReadonlyMap<string | undefined, number>;
  waiting(): ReadonlyMap<string | undefined, number>;
  /** Those that workers serve, and those that rest at zero: each has a series, so that 0 is told as well. */
  models(): Iterable<ServedModel>;
  waitingBytes(): number;
  /** Jobs that wait, by pool. */
  queueJobs(): ReadonlyMap<string, number>;
  workerPhases(): readonly WorkerPhase[];
  certificates(): readonly { readonly use: string; readonly seconds: number }[];
}

const PHASES: readonly WorkerPhase[] = ['connecting', 'loading', 'ready', 'draining', 'lost'];
const EVENT_LOOP_RESOLUTION_MS = 20;
/** 1 is the longest of all. */
const QUANTILES = [0.5, 0.99, 1];

/**
 * Gauges of how the gateway stands, looked up at each scrape.
 *
 * @param begin told at each scrape of every model that is served, before anything is read.
 */
export function watch(watched: Watched, models: BoundedLabel, begin: (model: ServedModel) => void): Disposable {
  const delay = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
  delay.enable();
  const running = new SumsByModel(models);
  const waiting = new SumsByModel(models);
  const stops = [
    gauge(MEASURED.running, () => {
      for (const model of watched.models()) begin(model);
      return running.of(withServed(watched.running(), watched.models()));
    }),
    gauge(MEASURED.waiting, () => waiting.of(withServed(watched.waiting(), watched.models()))),
    gauge(MEASURED.queueJobs, () => [...watched.queueJobs()].map(([pool, value]) => ({ value, labels: { pool } }))),
    gauge(MEASURED.waitingBytes, () => [{ value: watched.waitingBytes() }]),
    gauge(MEASURED.workers, () => {
      const phases = watched.workerPhases();
      return PHASES.map((phase) => ({ value: phases.filter((one) => one === phase).length, labels: { phase } }));
    }),
    gauge(MEASURED.certificateSeconds, () =>
      watched.certificates().map(({ use, seconds }) => ({ value: seconds, labels: { use } })),
    ),
    gauge(MEASURED.memory, () => [{ value: process.memoryUsage.rss() }]),
    gauge(MEASURED.lostLogLines, () => [{ value: lostLogLines() }]),
    gauge(MEASURED.eventLoopDelay, () => {
      const observed = QUANTILES.map((quantile) => ({
        value: lateSeconds(delay.percentile(quantile * 100)),
        labels: { quantile: String(quantile) },
      }));
      delay.reset();
      return observed;
    }),
  ];
  return {
    [Symbol.dispose]: () => {
      delay.disable();
      for (const stop of stops) stop();
    },
  };
}

/** Models that are served have a series from the beginning. */
function* withServed(counts: ReadonlyMap<string | undefined, number>, served: Iterable<ServedModel>) {
  for (const { id } of served) yield [id, 0] as const;
  for (const [model = 'unknown', count] of counts) yield [model, count] as const;
}

/** The histogram holds nanoseconds between two looks, which are `EVENT_LOOP_RESOLUTION_MS` apart when nothing is late. */
function lateSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - EVENT_LOOP_RESOLUTION_MS / 1000);
}
