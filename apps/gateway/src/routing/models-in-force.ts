import { type ModelEntry, type ModelLimits, type ModelsFile, servedByGateway } from '@millrace/contracts';
import {
  type CheckedModelsFile,
  ConfigurationError,
  checkedModelsFile,
  checkModelsFileAside,
  counter,
  gauge,
  type Logger,
  readModelsTextIfAny,
  readModelsTextIfAnySync,
} from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';

/** What the models file says, as of its last edit that had no mistake. */
export interface ModelsInForce {
  /** The same object until an edit is taken up; it is never changed. */
  readonly current: ModelsFile;
  /** Calls `listener`, which must not throw, in the turn in which an edit is taken up; returns what stops that. */
  watch(listener: (file: ModelsFile) => void): () => void;
  /** Why the file as it stands is not the one in force, as a sentence; undefined: it is. */
  readonly trouble: string | undefined;
  close(): void;
}

export const NO_MODELS_FILE: ModelsFile = { models: [], aliases: [] };

const NOTHING: CheckedModelsFile = { file: NO_MODELS_FILE, doubts: [] };

/** A file that nobody edits. */
export function fixedModels(current: ModelsFile = NO_MODELS_FILE): ModelsInForce {
  return { current, watch: () => () => {}, trouble: undefined, close: () => {} };
}

const entriesOf = new WeakMap<ModelsFile, ReadonlyMap<string, ModelEntry>>();

/** The entry of a model, by its id. Looked up in a table that is made once for each file. */
export function entryOf(file: ModelsFile, id: string): ModelEntry | undefined {
  let entries = entriesOf.get(file);
  if (entries === undefined) {
    entries = new Map(file.models.map((model) => [model.id, model]));
    entriesOf.set(file, entries);
  }
  return entries.get(id);
}

/** What all callers together may ask of a model; undefined: it has no limits. The same object as long as the file is the same. */
export function limitsOf(file: ModelsFile, id: string): ModelLimits | undefined {
  const limits = entryOf(file, id)?.limits;
  return limits === undefined || Object.keys(limits).length === 0 ? undefined : limits;
}

/** Many editors write in place: a file of which half is there may well be valid, and serve half the models. */
const SETTLE_MS = 50;

/** It could not be read: when it can be again, that is news, whatever is in it. */
const UNREAD = Symbol('unread');

type Outcome = 'taken' | 'refused' | 'unreadable';

/**
 * The models file, watched: an edit is in force once it was read twice alike and checked as a whole; one with a mistake changes nothing.
 * It looks at the contents rather than at times and sizes: editors replace files, Kubernetes swaps a link, and a file of a few kilobytes
 * costs nothing to read.
 *
 * Ownership: it looks by itself from its making on, until it is closed.
 * Concurrency: one look at a time, and only it changes what is in force. Requests keep what they resolved.
 */
export class WatchedModels implements ModelsInForce {
  #current: ModelsFile;
  /** What was looked at last: of the same nothing is said twice. Undefined: there was no file. */
  #text: string | undefined | typeof UNREAD;
  #trouble: string | undefined;
  #sinceMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  readonly #end = new AbortController();
  readonly #listeners = new Set<(file: ModelsFile) => void>();
  readonly #reloads = counter(MEASURED.modelsFileReloads);
  readonly #endGauge = gauge(MEASURED.modelsFileAge, () => [{ value: (performance.now() - this.#sinceMs) / 1000 }]);

  /**
   * A gateway without a models file has nothing of its own to say of models; one that comes later is taken up like an edit.
   *
   * @throws ConfigurationError where there is one and it has a mistake: nothing is in force yet that could stay.
   */
  constructor(
    private readonly path: string,
    private readonly checkMs: number,
    private readonly logger: Logger,
  ) {
    try {
      this.#text = readModelsTextIfAnySync(path);
      const { file, doubts } = this.#text === undefined ? NOTHING : checkedModelsFile(this.#text, path);
      this.#current = file;
      this.#warn(doubts);
    } catch (error) {
      this.#endGauge();
      throw error;
    }
    this.#lookIn(checkMs);
  }

  get current(): ModelsFile {
    return this.#current;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  watch(listener: (file: ModelsFile) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#end.abort();
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#endGauge();
  }

  get #closed(): boolean {
    return this.#end.signal.aborted;
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(() => void this.#look(), ms).unref();
  }

  async #look(): Promise<void> {
    try {
      const text = await this.#settledText();
      if (!this.#closed && text !== this.#text) await this.#takeUp(text);
    } catch (error) {
      this.#text = UNREAD;
      if (!this.#closed) this.#keep('unreadable', whyNot(error));
    }
    if (!this.#closed) this.#lookIn(this.checkMs);
  }

  /** Undefined: there is none. @throws ConfigurationError where it can't be read. */
  async #settledText(): Promise<string | undefined> {
    let text = await readModelsTextIfAny(this.path);
    while (text !== this.#text && !this.#closed) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS).unref());
      const again = await readModelsTextIfAny(this.path);
      if (again === text) break;
      text = again;
    }
    return text;
  }

  async #takeUp(text: string | undefined): Promise<void> {
    const hadNone = this.#current === NO_MODELS_FILE && this.#trouble === undefined;
    this.#text = text;
    if (text === undefined) {
      if (!hadNone) this.#keep('unreadable', `There is no file ${this.path} any more.`);
      return;
    }
    const edited = new AbortController();
    const asking = setInterval(() => void this.#isStill(text).then((is) => is || edited.abort()), this.checkMs).unref();
    try {
      const checked = await checkModelsFileAside(text, this.path, AbortSignal.any([this.#end.signal, edited.signal]));
      if (!this.#closed) this.#put(checked);
    } catch (error) {
      // Nonsense may take long: whoever has mended it meanwhile does not wait for what is to be said of it.
      if (edited.signal.aborted) this.#text = UNREAD;
      else if (!this.#closed) this.#keep('refused', whyNot(error));
    } finally {
      clearInterval(asking);
    }
  }

  async #isStill(text: string): Promise<boolean> {
    return readModelsTextIfAny(this.path).then(
      (now) => now === text,
      () => false,
    );
  }

  #put({ file, doubts }: CheckedModelsFile): void {
    const forWorkers = addedForWorkers(this.#current, file);
    this.#current = file;
    this.#trouble = undefined;
    this.#sinceMs = performance.now();
    this.#reloads.add(1, { outcome: 'taken' satisfies Outcome });
    this.logger.info(
      `${this.path} was edited; it is in force now, with ${file.models.length} models and ${file.aliases.length} aliases.`,
    );
    this.#warn([...doubts, ...forWorkers]);
    for (const listener of [...this.#listeners]) listener(file);
  }

  #warn(doubts: readonly string[]): void {
    for (const doubt of doubts) this.logger.warn(`${this.path}: ${doubt}`);
  }

  /** Said once for each content: a file that stays broken is not news. */
  #keep(outcome: Exclude<Outcome, 'taken'>, why: string): void {
    const trouble = `${why} What was in force before stays so until that is mended.`;
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#reloads.add(1, { outcome });
    this.logger.error(trouble);
  }
}

const NAMED_MAX = 10;

/** What is not in force by that it was read here. */
function addedForWorkers(before: ModelsFile, after: ModelsFile): readonly string[] {
  const added = after.models.filter((model) => !servedByGateway(model) && entryOf(before, model.id) === undefined);
  if (added.length === 0) return [];
  const named = added.slice(0, NAMED_MAX).map(({ id }) => `"${id}"`);
  const more = added.length - named.length;
  return [
    `workers read ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''} when they start: start those again that are to have it.`,
  ];
}

function whyNot(error: unknown): string {
  return error instanceof ConfigurationError ? error.problems.join(' ') : String(error);
}
