import { type Engine, type EngineLoad, InferenceError, type ModelDescription } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';

export type LibraryState = 'loading' | 'ready' | 'failed';

/** Opens the engine of the one model. `report` says in a sentence where loading stands. */
export type OpenEngine = (report: (detail: string) => void, signal: AbortSignal) => Promise<Engine>;

export interface LibraryListener {
  onState(state: LibraryState): void;
  onLoaded(durationMs: number): void;
}

/**
 * The models of this worker: one for now, loaded at the start.
 *
 * Ownership: owns the engine from the moment it is open, and closes it.
 *
 * Concurrency: `load` is called once; `ready`, `failed` and `loading` change only in it and in `noteBroken`.
 * `close` leaves the state as it is: by then the server, through which it could be seen, is closed.
 */
export class Library {
  #state: LibraryState = 'loading';
  #detail: string;
  #engine: Engine | undefined;
  #loading: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(
    private readonly modelId: string,
    private readonly open: OpenEngine,
    private readonly listener: LibraryListener,
    private readonly logger: Logger,
  ) {
    this.#detail = `The model ${modelId} is about to be loaded.`;
  }

  get state(): LibraryState {
    return this.#state;
  }

  /** Where loading stands, or why it failed: a sentence for `/readyz`. Empty when all is well. */
  get detail(): string {
    return this.#detail;
  }

  get engineLoad(): EngineLoad {
    return this.#engine?.load() ?? { running: 0, waiting: 0 };
  }

  models(): readonly ModelDescription[] {
    return this.#engine === undefined ? [] : [this.#engine.describe()];
  }

  /** @throws Error in one sentence, for the person who started the worker, when the model can't be loaded. */
  async load(): Promise<void> {
    this.#loading ??= this.#load();
    await this.#loading;
  }

  async #load(): Promise<void> {
    const startedAtMs = performance.now();
    try {
      this.#engine = await this.open((detail) => this.#report(detail), this.#stop.signal);
    } catch (error) {
      this.#enter('failed', `The model ${this.modelId} can't be loaded: ${sentenceOf(error)}`);
      throw error;
    }
    const durationMs = performance.now() - startedAtMs;
    this.listener.onLoaded(durationMs);
    this.logger.info({ model: this.modelId, durationMs: Math.round(durationMs) }, 'The model is loaded.');
    this.#enter('ready', '');
  }

  /**
   * The engine that answers for `name`.
   *
   * @throws InferenceError `model_not_found`, or `model_not_ready` while it loads.
   */
  engineFor(name: string): Engine {
    if (this.#engine === undefined || this.#state !== 'ready') {
      throw new InferenceError('model_not_ready', this.#detail, { retryAfterSeconds: 2 });
    }
    const { id, aliases } = this.#engine.describe();
    if (name === id || aliases.includes(name)) return this.#engine;
    throw new InferenceError('model_not_found', `This worker serves ${id}, not "${name}".`, { param: 'model' });
  }

  /** The engine gave up, and with it this worker: only a new process mends that. */
  noteBroken(): void {
    this.#enter('failed', `The engine of ${this.modelId} broke; this worker has to be restarted.`);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loading?.catch(() => undefined);
    await this.#engine?.close();
  }

  #report(detail: string): void {
    if (this.#state === 'loading') this.#detail = detail;
  }

  #enter(state: LibraryState, detail: string): void {
    this.#state = state;
    this.#detail = detail;
    this.listener.onState(state);
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
