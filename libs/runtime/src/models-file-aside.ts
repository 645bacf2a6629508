import { Worker } from 'node:worker_threads';
import { ConfigurationError } from './configuration-error.js';
import { type CheckedModelsFile, checkedModelsFile } from './models-file.js';

export interface ThreadTask {
  readonly text: string;
  readonly path: string;
}
export type ThreadAnswer = { readonly checked: CheckedModelsFile } | { readonly problems: readonly string[] };

/** Takes some milliseconds; a thread would take longer to begin. */
const AT_ONCE_CHARACTERS_MAX = 4_096;
/** As large as a file may be, and as busy as a machine may be. */
const CHECK_MS_MAX = 30_000;
const MEMORY_MIB_MAX = 512;

/** Threads run what is built, also for tests, which run the sources. */
const ENTRY = new URL(import.meta.url.replace('/src/', '/dist/').replace(/[^/]+$/, 'models-file-thread.js'));

/**
 * As `checkedModelsFile`, for who has other work meanwhile: a file of some size takes a second to read, and what is no models file at all can take
 * any time and memory. So it is read in a thread that has bounds for both.
 *
 * @throws ConfigurationError as `parseModelsFile`, or because it took too much of either; or what `signal` was aborted with.
 */
export async function checkModelsFileAside(
  text: string,
  path: string,
  signal: AbortSignal,
  checkMsMax = CHECK_MS_MAX,
): Promise<CheckedModelsFile> {
  if (text.length <= AT_ONCE_CHARACTERS_MAX) return checkedModelsFile(text, path);
  const answer = await inThread({ text, path }, signal, checkMsMax);
  if ('problems' in answer) throw new ConfigurationError(answer.problems);
  return answer.checked;
}

async function inThread(task: ThreadTask, signal: AbortSignal, checkMsMax: number): Promise<ThreadAnswer> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<ThreadAnswer>();
  const failed = (why: string, cause?: unknown) =>
    reject(Object.assign(new ConfigurationError([`${task.path} can't be checked: ${why}`]), { cause }));
  const thread = new Worker(ENTRY, {
    workerData: task,
    // Nothing of the environment: it needs no keys.
    env: {},
    // Nor what the process was started with: a test's would look for sources.
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB_MAX },
  });
  const timer = setTimeout(
    () => failed(`that took longer than ${checkMsMax} ms. Check that it is the one that was meant.`),
    checkMsMax,
  );
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  thread.once('message', resolve);
  thread.once('error', (error) => failed(`${error.message}. Check that it is the one that was meant.`, error));
  thread.once('exit', () => failed('its thread ended.'));
  // A process that ends does not wait for it.
  thread.unref();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    await thread.terminate();
  }
}
