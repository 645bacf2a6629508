import { join } from 'node:path';
import type { Logger } from '@millrace/runtime';
import {
  filesOfEntry,
  folderOfEntry,
  type ModelBucket,
  type ModelCache,
  ModelProblem,
  type ModelRegistry,
  type RegistryEntry,
} from '@millrace/storage';
import type { Report } from './library-model.js';
import { sentenceOf } from './sentence-of.js';

/** Knows the digests of files that it has read once. */
export interface KnownDigests {
  /** @throws what reading it throws, and the signal's reason. */
  digestOf(path: string, signal: AbortSignal): Promise<string>;
}

/** A model of the registry whose files are here and are what they should be. */
export interface BroughtModel extends Disposable {
  readonly entry: RegistryEntry;
  /** Of its file, or of its folder; absolute. It stays while this is held. */
  readonly path: string;
}

export interface RegisteredOptions {
  readonly registry: Pick<ModelRegistry, 'models' | 'pathOf'>;
  /** Absent: the settings name no S3 server. */
  readonly bucket: { readonly models: ModelBucket; readonly cache: ModelCache } | undefined;
  readonly digests: KnownDigests;
  readonly refreshMs: number;
}

/** A look at a bucket that takes longer is given up; the next one may be quicker. */
const LOOK_MS_MAX = 30_000;

interface ListedModel {
  readonly entry: RegistryEntry;
  readonly isHere: boolean;
}

type Listed = ReadonlyMap<string, ListedModel>;

/**
 * The models of the registry and of the bucket, as they are now: of an id that both have, that of the registry.
 *
 * What can't be read just now, since somebody broke the registry or the bucket is away, stays as it was, and the log says so once.
 *
 * Ownership: it owns the loop that looks again and again; whoever made it closes it.
 */
export class RegisteredModels {
  #listed: Listed = new Map();
  #here: ReadonlyMap<string, RegistryEntry> = new Map();
  #there: ReadonlyMap<string, RegistryEntry> = new Map();
  readonly #troubles = new Map<'registry' | 'bucket', string>();
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: RegisteredOptions,
    private readonly logger: Logger,
  ) {}

  get listed(): Listed {
    return this.#listed;
  }

  /** Looks once. Never rejects. @returns whether there are others than before. */
  async look(): Promise<boolean> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(LOOK_MS_MAX)]);
    const { registry, bucket } = this.options;
    this.#here = (await this.#try('registry', () => registry.models())) ?? this.#here;
    if (bucket !== undefined)
      this.#there = (await this.#try('bucket', () => bucket.models.models(signal))) ?? this.#there;
    const listed = new Map<string, ListedModel>([
      ...[...this.#there].map(([id, entry]) => [id, { entry, isHere: false }] as const),
      ...[...this.#here].map(([id, entry]) => [id, { entry, isHere: true }] as const),
    ]);
    const before = namesIn(this.#listed);
    this.#listed = listed;
    return namesIn(listed) !== before;
  }

  /** Looks again and again. @param onChange told when there are others than before. */
  watch(onChange: () => void): void {
    this.#timer = setTimeout(async () => {
      const isOther = await this.look();
      if (this.#stop.signal.aborted) return;
      if (isOther) {
        this.logger.info({ models: [...this.#listed.keys()].slice(0, LOGGED_MAX) }, countSentence(this.#listed));
        onChange();
      }
      this.watch(onChange);
    }, this.options.refreshMs);
  }

  async #try<T>(what: 'registry' | 'bucket', look: () => Promise<T>): Promise<T | undefined> {
    try {
      const found = await look();
      this.#troubles.delete(what);
      return found;
    } catch (error) {
      const sentence = sentenceOf(error);
      if (!this.#stop.signal.aborted && this.#troubles.get(what) !== sentence)
        this.logger.error({ from: what }, `${sentence} The models that were known before stay.`);
      this.#troubles.set(what, sentence);
      return undefined;
    }
  }

  /** What keeps models from being known, as a sentence; undefined: nothing. */
  get trouble(): string | undefined {
    return this.#troubles.size === 0 ? undefined : [...this.#troubles.values()].join(' ');
  }

  /** For the log of a start. */
  get sentence(): string {
    return countSentence(this.#listed);
  }

  /**
   * Brings a model's files here, and reads them where they are not known yet: only what has the digest of the registry is used.
   *
   * @throws ModelProblem; the signal's reason.
   */
  async bring(id: string, report: Report, signal: AbortSignal): Promise<BroughtModel> {
    const listed = this.#listed.get(id);
    if (listed === undefined)
      throw new ModelProblem(
        'not_found',
        `it is in the registry no more, nor in a bucket. Add it again: millrace models add --help`,
      );
    const { entry, isHere } = listed;
    const brought = isHere ? this.#onThisMachine(entry) : await this.#fromBucket(id, entry, report, signal);
    try {
      report(`The files of the model ${id} are being read, to see whether they are what the registry says.`);
      await this.#verify(id, brought, signal);
      return brought;
    } catch (error) {
      brought[Symbol.dispose]();
      throw error;
    }
  }

  #onThisMachine(entry: RegistryEntry): BroughtModel {
    return { entry, path: this.options.registry.pathOf(entry), [Symbol.dispose]: () => {} };
  }

  async #fromBucket(id: string, entry: RegistryEntry, report: Report, signal: AbortSignal): Promise<BroughtModel> {
    const { cache } = this.options.bucket!;
    const startedMs = performance.now();
    const wasHere = await cache.has(id, entry);
    if (!wasHere) report(`The model ${id} is being fetched from the bucket.`);
    const onBytes = (bytes: number, all: number | undefined) =>
      report(`The model ${id} is being fetched from the bucket: ${Math.floor((100 * bytes) / (all || bytes || 1))} %.`);
    const cached = await cache.use(id, entry, onBytes, signal);
    if (!wasHere) {
      const durationMs = Math.round(performance.now() - startedMs);
      this.logger.info({ model: id, bytes: entry.size, durationMs }, 'The model was fetched from the bucket.');
    }
    return { entry, path: cached.path, [Symbol.dispose]: () => cached[Symbol.dispose]() };
  }

  async #verify(id: string, { entry, path }: BroughtModel, signal: AbortSignal): Promise<void> {
    const folder = folderOfEntry(entry, path);
    for (const file of filesOfEntry(entry)) {
      const at = join(folder, file.path);
      const digest = await this.options.digests.digestOf(at, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw new ModelProblem(
          'not_found',
          `its file ${at} can't be read (${(error as NodeJS.ErrnoException).code ?? error}). Put it back, or remove the model: millrace models remove ${id}`,
        );
      });
      if (digest === file.sha256) continue;
      throw new ModelProblem(
        'changed',
        `its file ${at} has the digest ${digest}, and the registry says ${file.sha256}: it was changed since it was added. If that was meant, add it again with --replace; else put the right file there.`,
      );
    }
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }
}

/** So many ids a line of the log has. */
const LOGGED_MAX = 50;

function namesIn(listed: Listed): string {
  return [...listed]
    .map(([id, { entry, isHere }]) => `${id} ${entry.digest} ${entry.added} ${isHere}`)
    .sort()
    .join('\n');
}

function countSentence(listed: Listed): string {
  const here = [...listed.values()].filter(({ isHere }) => isHere).length;
  const there = listed.size - here;
  return `The registry has ${here} ${here === 1 ? 'model' : 'models'}${there > 0 ? `, and the bucket ${there} more` : ''}.`;
}
