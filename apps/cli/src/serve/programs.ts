import { createRequire } from 'node:module';

/** A process of Millrace, as it is started on its own. */
export interface Program {
  /** The JavaScript file to run. */
  readonly entry: string;
  /** Variables of the environment that it has unless they are set already. */
  readonly environment?: NodeJS.ProcessEnv;
}

/**
 * glibc gives the threads of a process heaps of their own, up to eight for each core, and what is freed in one stays there.
 * A model is loaded on whichever thread of Node's pool is free, so that every load may leave its vocabulary's hundred
 * megabytes in another heap: after 20 loads of one model a worker held 1,490 MiB, and with two heaps 650.
 */
const WORKER_ENVIRONMENT = { MALLOC_ARENA_MAX: '2' };

export function programs(): Readonly<Record<'gateway' | 'worker', Program>> {
  const { resolve } = createRequire(import.meta.url);
  return {
    gateway: { entry: resolve('@millrace/gateway') },
    worker: { entry: resolve('@millrace/worker'), environment: WORKER_ENVIRONMENT },
  };
}
