import { createRequire } from 'node:module';
import { CommandError } from '../command.js';

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

/** Each is looked for when it is wanted: the image of a gateway has no worker, and that of a worker no gateway. */
export function programs(): Readonly<Record<'gateway' | 'worker', Program>> {
  return {
    get gateway() {
      return { entry: entryOf('gateway') };
    },
    get worker() {
      return { entry: entryOf('worker'), environment: WORKER_ENVIRONMENT };
    },
  };
}

/** @throws CommandError where it is not installed. */
export function entryOf(name: 'gateway' | 'worker', resolve = createRequire(import.meta.url).resolve): string {
  try {
    return resolve(`@millrace/${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    throw new CommandError(
      `There is no ${name} here. In a container, take the image millrace/${name}, or millrace/millrace, which has both; elsewhere, run \`make build\`.`,
      { cause: error },
    );
  }
}
