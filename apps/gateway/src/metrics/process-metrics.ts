import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gauge, lostLogLines } from '@millrace/runtime';
import type { WorkerPhase } from '../vocabulary.js';
import { MEASURED } from './declarations.js';

export interface Watched {
  running(): number;
  waiting(): number;
  waitingBytes(): number;
  queueJobs(): number;
  workerPhases(): readonly WorkerPhase[];
  certificates(): readonly { readonly use: string; readonly seconds: number }[];
}

const PHASES: readonly WorkerPhase[] = ['connecting', 'loading', 'ready', 'draining', 'lost'];
const EVENT_LOOP_RESOLUTION_MS = 20;
/** 1 is the longest of all. */
const QUANTILES = [0.5, 0.99, 1];

/** Gauges of how the gateway stands, looked up at each scrape. */
export function watch(watched: Watched): Disposable {
  const delay = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
  delay.enable();
  const stops = [
    gauge(MEASURED.running, () => [{ value: watched.running() }]),
    gauge(MEASURED.waiting, () => [{ value: watched.waiting() }]),
    gauge(MEASURED.queueJobs, () => [{ value: watched.queueJobs() }]),
    gauge(MEASURED.waitingBytes, () => [{ value: watched.waitingBytes() }]),
    gauge(MEASURED.workers, () => {
      const phases = watched.workerPhases();
      return PHASES.map((phase) => ({ value: phases.filter((one) => one === phase).length, labels: { phase } }));
    }),
    gauge(MEASURED.certificateSeconds, () =>
      watched.certificates().map(({ use, seconds }) => ({ value: seconds, labels: { use } })),
    ),
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

/** The histogram holds nanoseconds between two looks, which are `EVENT_LOOP_RESOLUTION_MS` apart when nothing is late. */
function lateSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - EVENT_LOOP_RESOLUTION_MS / 1000);
}
