import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { TrialEnding } from '../models/trials.js';
import type { TrialRefusal, TrialRequest } from './trial-request.js';

export interface ForkTrialOptions {
  readonly timeoutMs: number;
  /** Handed on as far as engines need it, and without any key. */
  readonly environment: NodeJS.ProcessEnv;
  /** The file to run, for tests that run from sources. */
  readonly entry?: URL | undefined;
}

/** Of JavaScript in that process; weights are not part of it. */
const HEAP_MIB_MAX = 1_024;
/** Of what it writes; the end of that says why it crashed. */
const LAST_WORDS_CHARACTERS_MAX = 4_000;
/** Of those, what becomes part of an error. */
const QUOTED_CHARACTERS_MAX = 300;
const PRIORITY_BELOW_NORMAL = 10;
/** Linux: under memory pressure this process ends before all others. */
const OOM_SCORE_MAX = '1000';

/** Crashes that the same file causes again. SIGKILL is none of them: the system sends it when memory is short. */
const LASTING_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set([
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
]);

/** Crashes, too, for want of something that may be there the next time. */
const OF_THE_MOMENT = /out of memory|bad_alloc|failed to allocate|cannot allocate|resource temporarily unavailable/i;

/** Of the environment, what engines and the loader of libraries look at; it needs no keys. */
const ENVIRONMENT =
  /^(PATH|HOME|TMPDIR|TEMP|TMP|SYSTEMROOT|LANG|LC_.*|LD_.*|DYLD_.*|CUDA_.*|NVIDIA_.*|VK_.*|GGML_.*|NODE_LLAMA_CPP_.*)$/i;

/**
 * Tries a model in a process of its own, and ends that process in any case.
 *
 * @throws the reason of `signal`.
 */
export async function forkTrial(
  id: string,
  request: TrialRequest,
  { timeoutMs, environment, entry = new URL('./try-model-main.js', import.meta.url) }: ForkTrialOptions,
  signal: AbortSignal,
): Promise<TrialEnding> {
  signal.throwIfAborted();
  const child = fork(fileURLToPath(entry), [JSON.stringify(request)], {
    env: Object.fromEntries(Object.entries(environment).filter(([name]) => ENVIRONMENT.test(name))),
    execArgv: [`--max-old-space-size=${HEAP_MIB_MAX}`],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  // Before anything is waited for: it may be over by then, and nobody would ever hear of it.
  const witness = new Witness(child);
  await holdBack(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const onAbort = () => child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const ending = await witness.ended;
    signal.throwIfAborted();
    if (isLate) return timedOut(id, timeoutMs);
    return endingOf(id, ending, witness);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** A trial must not take from the answers that are being computed, nor the memory that they need. */
async function holdBack({ pid }: ChildProcess): Promise<void> {
  if (pid === undefined) return;
  try {
    setPriority(pid, PRIORITY_BELOW_NORMAL);
    if (process.platform === 'linux') await writeFile(`/proc/${pid}/oom_score_adj`, OOM_SCORE_MAX);
  } catch {
    // It is over already, or the system does not allow it: a trial without these is still a trial.
  }
}

type Ending = { readonly code: number | null; readonly by: NodeJS.Signals | null } | { readonly error: Error };

/** Hears what a process says until it ends. */
class Witness {
  readonly ended: Promise<Ending>;
  refusal: TrialRefusal | undefined;
  #written = '';

  constructor(child: ChildProcess) {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#written = (this.#written + text).slice(-LAST_WORDS_CHARACTERS_MAX);
    });
    child.on('message', (message: TrialRefusal) => {
      this.refusal = message;
    });
    // "close" and not "exit": by then everything that it wrote is here.
    const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    this.ended = closed.then(
      ([code, by]) => ({ code, by }),
      (error: Error) => ({ error }),
    );
  }

  /** The line that tells most: an assertion that failed, else the last one. */
  get lastWords(): string {
    const telling = this.#lines.findLast((line) => /assert|abort|error|failed/i.test(line)) ?? this.#lines.at(-1) ?? '';
    return telling.slice(0, QUOTED_CHARACTERS_MAX);
  }

  /** Whether it ended for want of something that may be there the next time. */
  get isOfTheMoment(): boolean {
    return OF_THE_MOMENT.test(this.#written);
  }

  get #lines(): readonly string[] {
    return this.#written
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }
}

function endingOf(id: string, ending: Ending, { refusal, lastWords, isOfTheMoment }: Witness): TrialEnding {
  if ('error' in ending) {
    const sentence = `the process in which ${id} is tried does not start: ${ending.error.message}`;
    return { passed: false, sentence, isLasting: false };
  }
  const { code, by } = ending;
  if (code === 0) return { passed: true, isLasting: true };
  // It says by itself what is wrong. That may be the memory of the moment, so it is asked again.
  if (refusal !== undefined) return { passed: false, sentence: refusal.sentence, isLasting: false };
  const how = by === null ? `ended with status ${code}` : `was ended by ${by}`;
  const said = lastWords === '' ? '' : ` It said: ${JSON.stringify(lastWords)}.`;
  if (isOfTheMoment) {
    const sentence = `the process in which it was tried ${how}, since it had no memory or threads left.${said} Free some, or choose a smaller model.`;
    return { passed: false, sentence, isLasting: false };
  }
  return {
    passed: false,
    sentence: `the process in which it was tried ${how}, so the file is damaged or not made for this engine.${said} Fetch it again, or choose another model.`,
    isLasting: by !== null && LASTING_SIGNALS.has(by),
  };
}

function timedOut(id: string, timeoutMs: number): TrialEnding {
  const sentence = `trying ${id} took longer than ${timeoutMs.toLocaleString('en-US')} ms (trialTimeoutMs). Raise that where models are large or disks slow.`;
  return { passed: false, sentence, isLasting: false };
}
