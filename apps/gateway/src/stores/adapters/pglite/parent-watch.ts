import { workerData } from 'node:worker_threads';

/**
 * A thread that ends its process some time after the parent is gone.
 *
 * The main thread does so itself, in an orderly way, unless a statement holds it: PGlite computes there, and knows no time
 * limit. Left alone it would go on for ever, and keep the folder locked.
 */
interface Watch {
  readonly parentPid: number;
  /** What the main thread is given to end by itself. */
  readonly graceMs: number;
}

const LOOK_EVERY_MS = 1_000;
const { parentPid, graceMs } = workerData as Watch;

const timer = setInterval(() => {
  if (process.ppid === parentPid) return;
  clearInterval(timer);
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs);
}, LOOK_EVERY_MS);
