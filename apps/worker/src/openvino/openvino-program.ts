import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Logger } from '@millrace/runtime';
import { ProgramLog } from './program-log.js';

/** The same place from the sources and from what is built of them. */
export const SERVER_SCRIPT = resolve(import.meta.dirname, '../../../../tools/openvino-server/main.py');

export interface ProgramPlan {
  /** The Python that runs it. */
  readonly python: string;
  readonly script: string;
  readonly args: readonly string[];
  /** What it must be told by whoever asks it: any user of this machine can reach its port. */
  readonly key: string;
  /** Handed on, without what may be a secret. */
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

/** How a run came to its end. */
export interface ProgramEnd {
  /** A sentence, for the log and for who runs the worker. */
  readonly sentence: string;
  /** Another run would end likewise: something is missing. */
  readonly hopeless: boolean;
}

/** The program's own word for "I can't start": no package, an old Python, a port that is taken. */
const EXIT_CANNOT_START = 3;
/** In the environment and not among the arguments, which every user of this machine can read. */
export const KEY_VARIABLE = 'OPENVINO_SERVER_KEY';
const LISTENING_MS_MAX = 120_000;
const FIRST_LINE_CHARACTERS_MAX = 1_000;
/** Keys of other servers are none of its business, nor are addresses that may hold one. */
const LAST_LINE_CHARACTERS_MAX = 300;
const REMEDY =
  'Install Python 3.10 or newer, then `pip install -r tools/openvino-server/requirements.txt`, and name that Python by the setting `python` (MILLRACE_PYTHON).';
const MAY_BE_SECRET = /KEY|TOKEN|SECRET|PASSW|CREDENTIAL|_URL$/i;

/**
 * One run of the program.
 *
 * Ownership: owns the child. Its standard input is a pipe that ends with this process, by which it learns of our death even when
 * we are killed.
 */
export class OpenVinoProgram {
  readonly #child: ChildProcess;
  readonly #log: ProgramLog;
  readonly #listening = Promise.withResolvers<number>();
  #killedFor: string | undefined;
  #isUp = false;
  /** Resolves when the child is gone and its last words are read. */
  readonly ended: Promise<ProgramEnd>;

  constructor(private readonly plan: ProgramPlan) {
    this.#log = new ProgramLog(plan.logger);
    this.#child = spawn(plan.python, [plan.script, ...plan.args, '--stop-with-stdin'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...environmentOf(plan.environment), [KEY_VARIABLE]: plan.key },
    });
    // Written to never, and broken when the child dies.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#log.push(text));
    this.#readPort();
    this.ended = this.#watch();
    void this.ended.then(({ sentence }) => this.#listening.reject(new Error(sentence)));
    // Whoever starts it may wait for something else first.
    this.#listening.promise.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * The port it listens on.
   *
   * @throws Error in one sentence when it ends first, or takes too long; what `signal` was aborted with.
   */
  async listening(signal: AbortSignal): Promise<number> {
    const late = AbortSignal.timeout(LISTENING_MS_MAX);
    const either = AbortSignal.any([signal, late]);
    const aborted = Promise.withResolvers<never>();
    const abort = () =>
      aborted.reject(
        signal.aborted ? signal.reason : new Error(`OpenVINO's program was not up after ${LISTENING_MS_MAX} ms.`),
      );
    either.addEventListener('abort', abort, { once: true });
    if (either.aborted) abort();
    try {
      return await Promise.race([this.#listening.promise, aborted.promise]);
    } finally {
      either.removeEventListener('abort', abort);
    }
  }

  /** Asks it to end, and ends it by force after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#child.stdin?.end();
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(force);
  }

  /** Ends it by force. @param why goes into the sentence of its end */
  kill(why: string): void {
    this.#killedFor = why;
    this.#child.kill('SIGKILL');
  }

  /** The first line of standard output; the rest is read and thrown away, or the pipe would fill up. */
  #readPort(): void {
    let line = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (line.length > FIRST_LINE_CHARACTERS_MAX) return;
      line += text;
      const port = portIn(line);
      if (port === undefined) return;
      this.#isUp = true;
      this.#listening.resolve(port);
    });
  }

  async #watch(): Promise<ProgramEnd> {
    const { python } = this.plan;
    try {
      // After `close` and not `exit`: only then is standard error read to its end.
      const [status, signal] = (await once(this.#child, 'close')) as [number | null, string | null];
      this.#log.end();
      if (this.#killedFor !== undefined) {
        return { hopeless: false, sentence: `OpenVINO's program was killed: ${this.#killedFor}.` };
      }
      return endOf(status, signal, this.#log, this.#isUp);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const why = code === 'ENOENT' ? 'there is no such program' : (code ?? String(error));
      return {
        hopeless: true,
        sentence: `Python can't be started as \`${python}\`: ${why}. ${REMEDY}`,
      };
    }
  }
}

function portIn(text: string): number | undefined {
  for (const line of text.split('\n').slice(0, -1)) {
    const port = Number(/^\{"listening": ?(\d+)\}\s*$/.exec(line)?.[1]);
    if (Number.isInteger(port)) return port;
  }
  return undefined;
}

function endOf(status: number | null, signal: string | null, log: ProgramLog, wasUp: boolean): ProgramEnd {
  if (status === EXIT_CANNOT_START) {
    const remedy = 'The setting `python` (MILLRACE_PYTHON) names the Python that is used.';
    return {
      hopeless: true,
      sentence: `OpenVINO's program can't start: ${log.complaint ?? 'it does not say why.'} ${remedy}`,
    };
  }
  const how = signal === null ? `with status ${status}` : `by ${signal}`;
  if (wasUp || signal !== null) return { hopeless: false, sentence: `OpenVINO's program ended ${how}.` };
  // Most likely it is the wrong Python: one that is too old can't even read the program.
  const last = log.lastLine?.slice(0, LAST_LINE_CHARACTERS_MAX) ?? 'nothing';
  return {
    hopeless: false,
    sentence: `OpenVINO's program ended ${how} at its start. Its last words: "${last}". ${REMEDY}`,
  };
}

/** What the program needs of ours: where its libraries are, and nothing that opens a door. */
export function environmentOf(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(
    ([name]) => !MAY_BE_SECRET.test(name) && !name.startsWith('MILLRACE_'),
  );
  return { ...Object.fromEntries(kept), PYTHONUNBUFFERED: '1' };
}
