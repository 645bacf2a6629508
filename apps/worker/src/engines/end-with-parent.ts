import { Worker } from 'node:worker_threads';

const LOOK_MS = 500;

/**
 * Ends this process soon after the one that started it, also while the main thread computes and hears nothing: a file
 * that keeps the library busy for ever must not do so when nobody is left to end it. Where a process keeps the number
 * of a parent that is gone (Windows), it does nothing.
 */
export function endWithParent(): void {
  const look = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, 'SIGKILL'), ${LOOK_MS});`;
  new Worker(look, { eval: true }).unref();
}
