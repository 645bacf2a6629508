import { InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { ModelTemplates } from '../templates/model-templates.js';
import { ChildDied, ChildOverrun, PromptChild } from './prompt-child.js';
import type { ProcessMessage } from './prompt-wire.js';
import type { PromptJob, PromptResults, PromptWork } from './prompt-work.js';

export interface PromptProcessOptions {
  /** What one job may take, in milliseconds: the setting `templateTimeoutMs`. */
  readonly templateTimeoutMs: number;
  readonly logger: Logger;
  /** The limits below, for tests. */
  readonly limits?: Partial<PromptProcessLimits> | undefined;
  /** The built entry of the process, for tests that run from sources. */
  readonly entry?: URL | undefined;
}

export interface PromptProcessLimits {
  /** Jobs that may wait; about as many as a worker lets wait for a place in its batch. */
  readonly waitingMax: number;
  /** Characters of all jobs that wait, as JSON. */
  readonly waitingCharactersMax: number;
  /** How long a job may wait before it begins. */
  readonly waitMaxMs: number;
  /** Of the process. A chat of a million characters takes some 50 MiB. */
  readonly memoryLimitMib: number;
}

const LIMITS: PromptProcessLimits = {
  waitingMax: 1_024,
  waitingCharactersMax: 64 * 1024 * 1024,
  waitMaxMs: 30_000,
  memoryLimitMib: 512,
};

/** The process looks at the clock itself and says more; this much later it is ended. */
const GRACE_MS = 100;

/** To find out what a template can do takes some ten renderings, each of which is ended when it takes too long. */
const OPEN_RENDERINGS = 3;

interface WaitingJob {
  readonly id: number;
  readonly kind: PromptJob['kind'];
  readonly json: string;
  readonly model: ModelTemplates | undefined;
  readonly signal: AbortSignal;
  readonly settled: PromiseWithResolvers<unknown>;
}

/**
 * `PromptWork` in a process of its own, one job after another.
 *
 * A process and no thread: when the heap of a worker thread is full, V8 ends the whole process as often as it ends the
 * thread, and with it the engine. Here a template that takes too much memory or time costs its own request and a new
 * start of some 100 ms; the others in line are done by the new process.
 */
export class PromptProcess implements PromptWork {
  readonly #limits: PromptProcessLimits;
  readonly #entry: URL;
  readonly #waiting = new Set<WaitingJob>();
  #charactersWaiting = 0;
  #child: PromptChild | undefined;
  #running: Promise<void> | undefined;
  #jobs = 0;
  #closed = false;

  constructor(private readonly options: PromptProcessOptions) {
    this.#limits = { ...LIMITS, ...options.limits };
    this.#entry = options.entry ?? new URL('./prompt-process-main.js', import.meta.url);
  }

  async do<Kind extends PromptJob['kind']>(
    job: Extract<PromptJob, { kind: Kind }>,
    signal: AbortSignal,
  ): Promise<PromptResults[Kind]> {
    signal.throwIfAborted();
    if (this.#closed) throw stopping();
    const model = 'model' in job ? job.model : undefined;
    const json = JSON.stringify({ ...job, model: model?.key });
    // Who loads a model has waited long enough, and there are few of them.
    if (job.kind !== 'open') this.#checkRoom(json.length);
    const settled = Promise.withResolvers<unknown>();
    const waiting: WaitingJob = { id: this.#jobs++, kind: job.kind, json, model, signal, settled };
    return (await this.#wait(waiting)) as PromptResults[Kind];
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#waiting) job.settled.reject(stopping());
    await this.#child?.end();
    await this.#running;
  }

  #checkRoom(characters: number): void {
    const { waitingMax, waitingCharactersMax } = this.#limits;
    if (this.#waiting.size >= waitingMax) {
      throw full(`${count(waitingMax)} prompts wait to be rendered already, which is the most`);
    }
    // One alone may be as large as requests may be.
    if (this.#waiting.size === 0 || this.#charactersWaiting + characters <= waitingCharactersMax) return;
    throw full(
      `Prompts of ${count(this.#charactersWaiting)} characters wait to be rendered; with this one's ${count(characters)} they would be more than ${count(waitingCharactersMax)}`,
    );
  }

  async #wait(job: WaitingJob): Promise<unknown> {
    const { waitMaxMs } = this.#limits;
    const { settled, signal } = job;
    const onAbort = () => settled.reject(signal.reason);
    const timer = setTimeout(() => {
      if (this.#waiting.has(job) && job.kind !== 'open')
        settled.reject(full(`The prompt waited ${count(waitMaxMs)} ms to be rendered`));
    }, waitMaxMs);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(job);
    this.#charactersWaiting += job.json.length;
    this.#begin();
    try {
      return await settled.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#leaveLine(job);
    }
  }

  #leaveLine(job: WaitingJob): void {
    if (this.#waiting.delete(job)) this.#charactersWaiting -= job.json.length;
  }

  /** Begins the next job, unless one runs. */
  #begin(): void {
    if (this.#running !== undefined) return;
    const [job] = this.#waiting;
    if (job === undefined) return;
    this.#leaveLine(job);
    this.#running = this.#run(job).finally(() => {
      this.#running = undefined;
      if (!this.#closed) this.#begin();
    });
  }

  async #run(job: WaitingJob): Promise<void> {
    try {
      job.settled.resolve(resultOf(await this.#askTwice(job)));
    } catch (error) {
      job.settled.reject(this.#explain(error));
    }
  }

  /** Again, if the process was ended by somebody else: that is not the job's fault. */
  async #askTwice(job: WaitingJob): Promise<ProcessMessage> {
    try {
      return await this.#ask(job);
    } catch (error) {
      if (!(error instanceof ChildDied) || error.gaveUp || this.#closed) throw error;
      this.options.logger.warn({ why: error.message }, 'The process that renders prompts was ended; it starts again.');
      return this.#ask(job);
    }
  }

  async #ask({ id, kind, json, model }: WaitingJob): Promise<ProcessMessage> {
    const child = await this.#startedChild();
    const renderings = kind === 'open' ? OPEN_RENDERINGS : 1;
    const timeoutMs = this.options.templateTimeoutMs * renderings + GRACE_MS;
    const answer = await child.ask({ id, job: json }, timeoutMs);
    if (answer.kind !== 'unknownModel' || model === undefined) return answer;
    return child.ask({ id, job: json, model }, timeoutMs);
  }

  async #startedChild(): Promise<PromptChild> {
    if (this.#child !== undefined && !this.#child.gone) return this.#child;
    const { templateTimeoutMs: timeLimitMs } = this.options;
    const child = new PromptChild({ entry: this.#entry, timeLimitMs, memoryLimitMib: this.#limits.memoryLimitMib });
    this.#child = child;
    await child.started().catch((cause: unknown) => {
      const said = child.lastWords.trim();
      throw new Error('The process that renders prompts does not start.', { cause: said === '' ? cause : said });
    });
    return child;
  }

  #explain(error: unknown): unknown {
    if (this.#closed) return stopping();
    const { templateTimeoutMs, logger } = this.options;
    if (error instanceof ChildOverrun) {
      logger.warn({ templateTimeoutMs }, 'A chat template or schema took too long; its process starts again.');
      return tooMuch(`takes longer than ${count(templateTimeoutMs)} ms (templateTimeoutMs)`);
    }
    if (error instanceof ChildDied && error.gaveUp) {
      const said = this.#child?.lastWords;
      logger.warn({ why: error.message, said }, 'The process that renders prompts died; it starts again.');
      return tooMuch(`needs more memory than the ${count(this.#limits.memoryLimitMib)} MiB that are given to it`);
    }
    return error;
  }
}

function resultOf(answer: ProcessMessage): unknown {
  switch (answer.kind) {
    case 'done':
      return JSON.parse(answer.result);
    case 'refused': {
      const { code, message, param } = answer.error;
      throw new InferenceError(code, message, param === undefined ? {} : { param });
    }
    case 'failed':
      throw new Error(answer.message);
    case 'ready':
    case 'unknownModel':
      throw new Error(`The process that renders prompts says ${answer.kind} in place of an answer.`);
  }
}

function tooMuch(what: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `To make this request's prompt or grammar ${what}. Shorten the messages, or simplify the tools and the schema.`,
    { param: 'messages' },
  );
}

function full(why: string): InferenceError {
  return new InferenceError('rate_limit_exceeded', `${why}. Retry shortly.`, { retryAfterSeconds: 1 });
}

function stopping(): InferenceError {
  return new InferenceError('model_not_ready', 'This worker is stopping. Another one may answer.', {
    retryAfterSeconds: 5,
  });
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
