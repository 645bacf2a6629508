import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { ChildMessage, Logger } from '@millrace/runtime';
import { CommandError } from '../command.js';

export interface ProcessPlan {
  /** In sentences and logs: `worker`, `gateway`. */
  readonly name: string;
  /** The JavaScript file to run. */
  readonly entry: string;
  /** Its flags. `portBefore` is the port it had before it died, which others know it by. */
  readonly args: (portBefore: number | undefined) => readonly string[];
  /** Variables of the environment that it has unless they are set already. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Variables that it has in any case. */
  readonly secrets?: NodeJS.ProcessEnv;
}

export interface RestartOptions {
  readonly restartDelayMsMin: number;
  readonly restartDelayMsMax: number;
  readonly logger: Logger;
  /** Throws away what the process prints to standard output; errors are still seen. */
  readonly quiet: boolean;
}

/** A process that lived for so long starts again from the shortest delay. */
const HEALTHY_AFTER_MS = 60_000;
const LAST_WORDS_MS = 1_000;

/**
 * One process, started again whenever it dies.
 *
 * Ownership: it owns the child, and its IPC channel, by which the child learns of our own end. Nobody else signals it.
 *
 * Concurrency: at most one child at a time. After `restartNoMore`, `stop` or `kill` none is started any more.
 */
export class SupervisedProcess {
  readonly #plan: ProcessPlan;
  readonly #options: RestartOptions;
  #child: ChildProcess | undefined;
  #port: number | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #delayMs: number;
  #phase: 'starting' | 'kept alive' | 'stopping' = 'starting';
  readonly #listening = Promise.withResolvers<number>();
  /** Rejects when the process dies before `keepAlive`. */
  readonly #broken = Promise.withResolvers<never>();

  constructor(plan: ProcessPlan, options: RestartOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#delayMs = options.restartDelayMsMin;
    // Whether somebody waits for them depends on how far the start comes; they must not end the whole process.
    this.#broken.promise.catch(() => undefined);
    this.#listening.promise.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The port that the process listens on. Rejects with a `CommandError` when it dies first. */
  start(): Promise<number> {
    this.#spawn();
    return this.#listening.promise;
  }

  /** Never resolves. Rejects with a `CommandError` when the process dies before `keepAlive`. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** From now on a death is mended rather than reported: until here nobody was promised anything. */
  keepAlive(): void {
    if (this.#phase === 'starting') this.#phase = 'kept alive';
  }

  /** From now on a death is the end of it. */
  restartNoMore(): void {
    this.#phase = 'stopping';
    clearTimeout(this.#restartTimer);
  }

  /** Asks the process to end, and ends it by force after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.restartNoMore();
    const child = this.#child;
    // Dead, but its last words are still being read.
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const force = setTimeout(() => {
      this.#options.logger.warn(`the ${this.#plan.name} did not end within ${graceMs} ms and is killed`);
      child.kill('SIGKILL');
    }, graceMs);
    await gone;
    clearTimeout(force);
  }

  /** At once, for a process that is itself about to end. */
  kill(): void {
    this.restartNoMore();
    this.#child?.kill('SIGKILL');
  }

  #spawn(): void {
    const { entry, args, environment, secrets } = this.#plan;
    const stdout = this.#options.quiet ? 'ignore' : 'inherit';
    const env = { ...environment, ...process.env, ...secrets };
    const child = fork(entry, args(this.#port), { env, stdio: ['ignore', stdout, 'inherit', 'ipc'] });
    const startedMs = performance.now();
    let sentence: string | undefined;
    this.#child = child;
    child.on('message', (message: ChildMessage) => {
      if (message.kind === 'listening') {
        this.#port = message.port;
        this.#listening.resolve(message.port);
      } else if (message.kind === 'failed') {
        sentence = message.sentence;
      }
    });
    child.once('error', (error) => {
      sentence ??= `The ${this.#plan.name} cannot be started: ${error.message}.`;
      // A process that could not be spawned has no pid and says no `exit`.
      if (child.pid === undefined) this.#died(sentence, startedMs);
    });
    child.once('exit', async (status, signal) => {
      await channelDrained(child);
      this.#died(sentence ?? this.#ending(status, signal), startedMs);
    });
  }

  #died(sentence: string, startedMs: number): void {
    this.#child = undefined;
    if (this.#phase === 'stopping') return;
    if (this.#phase === 'starting') {
      const error = new CommandError(sentence);
      this.#listening.reject(error);
      this.#broken.reject(error);
      return;
    }
    if (performance.now() - startedMs >= HEALTHY_AFTER_MS) this.#delayMs = this.#options.restartDelayMsMin;
    this.#options.logger.error(`${sentence} It is started again in ${this.#delayMs} ms.`);
    this.#restartTimer = setTimeout(() => this.#spawn(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, this.#options.restartDelayMsMax);
  }

  #ending(status: number | null, signal: NodeJS.Signals | null): string {
    const how = signal === null ? `with exit status ${status}` : `by signal ${signal}`;
    return `The ${this.#plan.name} ended ${how}; what it said last stands above.`;
  }
}

/** Its last words may arrive after the news of its death: they are in the channel, which is read to its end first. */
async function channelDrained(child: ChildProcess): Promise<void> {
  if (!child.connected) return;
  const tooLong = AbortSignal.timeout(LAST_WORDS_MS);
  await once(child, 'disconnect', { signal: tooLong }).catch(() => undefined);
}
