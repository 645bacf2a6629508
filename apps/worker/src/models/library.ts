import { type Engine, type EngineLoad, InferenceError, type ModelDescription } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';

export type LibraryState = 'loading' | 'ready' | 'failed';

/** Opens the engine of a model. `report` says in a sentence where loading stands. */
export type OpenEngine = (report: (detail: string) => void, signal: AbortSignal) => Promise<Engine>;

/** A model to be served. */
export interface LibraryModel {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly open: OpenEngine;
}

export interface LibraryListener {
  onState(state: LibraryState): void;
  /** The chosen model is loaded. */
  onLoaded(durationMs: number): void;
}

/** A model and how far it is. */
interface Entry {
  readonly model: LibraryModel;
  state: LibraryState;
  /** Where loading stands, or why it failed; empty when all is well. */
  detail: string;
  engine: Engine | undefined;
}

/**
 * The models of this worker: the chosen one, and those that are kept warm beside it. One is loaded at a time, since
 * two at once would both be late, and neither would know what memory the other leaves.
 *
 * Without the chosen one there is no worker; another that fails is an error in the log and in `detail`, and the rest is
 * served.
 *
 * Ownership: owns the engines from the moment they are open, and closes them.
 *
 * Concurrency: `load` is called once; states change only in it and in `noteBroken`. `close` leaves them as they are: by
 * then the server, through which they could be seen, is closed.
 */
export class Library {
  readonly #entries: readonly Entry[];
  /** Whether everything was tried. */
  #complete = false;
  #loading: Promise<void> | undefined;
  readonly #stop = new AbortController();

  /** @param models the chosen one first; no two share a name. */
  constructor(
    models: readonly [LibraryModel, ...LibraryModel[]],
    private readonly listener: LibraryListener,
    private readonly logger: Logger,
  ) {
    this.#entries = models.map((model) => ({
      model,
      state: 'loading',
      detail: `The model ${model.id} is about to be loaded.`,
      engine: undefined,
    }));
  }

  /** `ready` once the chosen model is ready and the others are ready or failed. */
  get state(): LibraryState {
    if (this.#entries[0]!.state === 'failed') return 'failed';
    return this.#complete ? 'ready' : 'loading';
  }

  /** Where loading stands, or what failed: sentences for `/readyz`. Empty when all is well. */
  get detail(): string {
    const loading = this.#entries.find(({ state }) => state === 'loading');
    const failed = this.#entries.filter(({ state }) => state === 'failed');
    const chosenFailed = this.#entries[0]!.state === 'failed';
    const about = [...failed, ...(loading === undefined || chosenFailed ? [] : [loading])];
    // An engine that broke is said of its own model and of the chosen one.
    return [...new Set(about.map(({ detail }) => detail))].join(' ');
  }

  /** Of all engines together. */
  get engineLoad(): EngineLoad {
    let running = 0;
    let waiting = 0;
    for (const { engine } of this.#entries) {
      if (engine === undefined) continue;
      const load = engine.load();
      running += load.running;
      waiting += load.waiting;
    }
    return { running, waiting };
  }

  models(): readonly ModelDescription[] {
    return this.#entries.flatMap(({ engine }) => (engine === undefined ? [] : [engine.describe()]));
  }

  /** @throws Error in one sentence, for the person who started the worker, when the chosen model can't be loaded. */
  async load(): Promise<void> {
    this.#loading ??= this.#loadAll();
    await this.#loading;
  }

  async #loadAll(): Promise<void> {
    const [chosen, ...others] = this.#entries;
    this.listener.onLoaded(await this.#load(chosen!));
    for (const other of others) {
      if (this.#stop.signal.aborted) return;
      await this.#load(other).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.logger.error({ model: other.model.id, error }, other.detail);
      });
    }
    this.#complete = true;
    this.#tell();
  }

  /** How long it took, in milliseconds. */
  async #load(entry: Entry): Promise<number> {
    const { id, open } = entry.model;
    const startedAtMs = performance.now();
    const report = (detail: string) => {
      if (entry.state === 'loading') entry.detail = detail;
    };
    try {
      entry.engine = await open(report, this.#stop.signal);
    } catch (error) {
      entry.state = 'failed';
      entry.detail = `The model ${id} can't be loaded: ${sentenceOf(error)}`;
      this.#tell();
      throw error;
    }
    const durationMs = performance.now() - startedAtMs;
    if (entry.state === 'loading') {
      entry.state = 'ready';
      entry.detail = '';
    }
    this.logger.info({ model: id, durationMs: Math.round(durationMs) }, 'The model is loaded.');
    return durationMs;
  }

  /**
   * The engine that answers for `name`.
   *
   * @throws InferenceError `model_not_found`, or `model_not_ready` while it loads or when it failed.
   */
  engineFor(name: string): Engine {
    const entry = this.#entries.find(({ model }) => model.id === name || model.aliases.includes(name));
    if (entry === undefined) {
      const ids = this.#entries.map(({ model }) => model.id).join(', ');
      throw new InferenceError('model_not_found', `This worker serves ${ids}, not "${name}".`, { param: 'model' });
    }
    if (entry.engine === undefined || entry.state !== 'ready') {
      throw new InferenceError('model_not_ready', entry.detail, { retryAfterSeconds: 2 });
    }
    return entry.engine;
  }

  /** The engine of a model gave up, and with it this worker: only a new process mends that. */
  noteBroken(id: string): void {
    const broken = this.#entries.find(({ model }) => model.id === id);
    const chosen = this.#entries[0]!;
    for (const entry of [broken, chosen]) {
      if (entry === undefined) continue;
      entry.state = 'failed';
      entry.detail = `The engine of ${id} broke; this worker has to be restarted.`;
    }
    this.#tell();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loading?.catch(() => undefined);
    for (const { engine } of this.#entries) await engine?.close();
  }

  #tell(): void {
    this.listener.onState(this.state);
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
