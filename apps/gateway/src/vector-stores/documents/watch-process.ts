import { Worker } from 'node:worker_threads';
import { OUT_OF_MEMORY_MARK } from './document-wire.js';

const LOOK_EVERY_MS = 50;

/**
 * Ends this process by force when it takes more memory than it may, or when whoever started it is gone.
 *
 * From a thread of its own: the main one may be in an endless loop, in which it would notice neither. V8's own limit is of its heap alone,
 * and what is inflated or decoded lies beside it.
 */
export function watchProcess(memoryBytesMax: number): void {
  const watcher = new Worker(WATCHER, {
    eval: true,
    workerData: { memoryBytesMax, parent: process.ppid, mark: OUT_OF_MEMORY_MARK, everyMs: LOOK_EVERY_MS },
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 },
  });
  watcher.unref();
}

/** Text, since it has to run from what is built and from what is not. */
const WATCHER = `
const { workerData: { memoryBytesMax, parent, mark, everyMs } } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const end = () => process.kill(process.pid, 'SIGKILL');
setInterval(() => {
  if (process.ppid !== parent) end();
  if (process.memoryUsage.rss() <= memoryBytesMax) return;
  try { writeSync(2, mark); } finally { end(); }
}, everyMs);
`;
