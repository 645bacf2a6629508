import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { JobMessage, ProcessMessage } from './prompt-wire.js';

/** Node starts in some 50 ms; a machine that is busy or swaps may take a hundred times as long. */
const START_TIMEOUT_MS = 20_000;
/** Of what the process writes while it dies, for the log. */
const LAST_WORDS_CHARACTERS_MAX = 2_000;

/** How V8 ends a process, depending on the processor. */
const ABORTS: ReadonlySet<NodeJS.Signals> = new Set(['SIGABRT', 'SIGTRAP', 'SIGILL']);

export interface ChildOptions {
  readonly entry: URL;
  /** Of one rendering, in milliseconds. */
  readonly timeLimitMs: number;
  /** What JavaScript's heap may hold there, in MiB. */
  readonly memoryLimitMib: number;
}

/** The process didn't answer in time; it is being ended. */
export class ChildOverrun extends Error {
  override readonly name = 'ChildOverrun';
}

/** The process ended by itself, or somebody ended it. */
export class ChildDied extends Error {
  override readonly name = 'ChildDied';

  /** @param gaveUp whether V8 did, which it does when there is no memory left for what it was asked. */
  constructor(
    message: string,
    readonly gaveUp: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** One prompt process, until it ends. It is asked one thing at a time. */
export class PromptChild {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #waiting: PromiseWithResolvers<ProcessMessage> | undefined;
  #lastWords = '';
  #gone: Error | undefined;

  constructor({ entry, timeLimitMs, memoryLimitMib }: ChildOptions) {
    this.#process = fork(fileURLToPath(entry), [String(timeLimitMs)], {
      // Nothing of the environment: it runs what came with a model's file, and needs no keys for that.
      env: {},
      execArgv: [`--max-old-space-size=${memoryLimitMib}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => this.#remember(text));
    this.#process.on('message', (message: ProcessMessage) => this.#waiting?.resolve(message));
    this.#ended = once(this.#process, 'close').catch(() => undefined);
    this.#process.on('error', (error) => this.#end(new ChildDied(error.message, false, { cause: error })));
    this.#process.on('exit', (code, by) =>
      this.#end(
        new ChildDied(
          `The process that renders prompts ended with ${by ?? `code ${code}`}.`,
          by !== null && ABORTS.has(by),
        ),
      ),
    );
  }

  /** Whether it ended, or is being ended. */
  get gone(): boolean {
    return this.#gone !== undefined;
  }

  get lastWords(): string {
    return this.#lastWords;
  }

  /** Resolves when it takes jobs. @throws ChildOverrun, ChildDied. */
  async started(): Promise<void> {
    await this.#answer(START_TIMEOUT_MS);
  }

  /** @throws ChildOverrun, ChildDied. */
  ask(message: JobMessage, timeoutMs: number): Promise<ProcessMessage> {
    const answer = this.#answer(timeoutMs);
    // What can't be sent is told by `error` or `exit` as well.
    this.#process.send(message, () => undefined);
    return answer;
  }

  async end(): Promise<void> {
    this.#end(new ChildDied('The process that renders prompts is being ended.', false));
    // Not to be put off: it may be in an endless loop.
    this.#process.kill('SIGKILL');
    if (this.#process.pid !== undefined) await this.#ended;
  }

  async #answer(timeoutMs: number): Promise<ProcessMessage> {
    if (this.#gone !== undefined) throw this.#gone;
    const waiting = Promise.withResolvers<ProcessMessage>();
    this.#waiting = waiting;
    const timer = setTimeout(() => {
      this.#end(new ChildOverrun(`No answer within ${timeoutMs} ms.`));
      this.#process.kill('SIGKILL');
    }, timeoutMs);
    try {
      return await waiting.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  #end(why: Error): void {
    this.#gone ??= why;
    this.#waiting?.reject(this.#gone);
  }

  #remember(text: string): void {
    this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS_MAX);
  }
}
