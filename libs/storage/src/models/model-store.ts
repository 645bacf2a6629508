import { mkdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { FileLock } from './file-lock.js';
import { type ModelBucket, shortDigest } from './model-bucket.js';
import {
  contentAt,
  digestedFiles,
  digestOfFile,
  digestOfFiles,
  filesOfEntry,
  folderOfEntry,
  type ModelContent,
  type OnBytes,
} from './model-content.js';
import { checkModelId, modelIdOf } from './model-id.js';
import { ModelProblem } from './model-problem.js';
import { ModelRegistry } from './model-registry.js';
import {
  isBelow,
  type ModelFileEntry,
  type ModelTask,
  type RegistryEntry,
  registryEntrySchema,
} from './registry-entry.js';
import { fetchFile, freeBytesOf } from './sources/fetch-file.js';
import { LocalFile } from './sources/local-file.js';
import { fileNameOf, type ModelSource, parseModelSource, sourceText } from './sources/model-source.js';
import { remoteFiles, type SourceFile, type SourceTerms } from './sources/remote-files.js';

export interface ModelStoreOptions {
  /** Of the registry, and of what is fetched; absolute. */
  readonly folder: string;
  /** Absent: the settings name no S3 server. */
  readonly bucket?: ModelBucket | undefined;
  readonly sources: SourceTerms;
  readonly freeBytes?: ((folder: string) => Promise<number>) | undefined;
  readonly nowMs?: () => number;
}

export interface AddTerms {
  /** Absent: the preset's name, or a slug of the file's. */
  readonly id?: string | undefined;
  readonly task?: ModelTask | undefined;
  readonly template?: string | undefined;
  readonly licence?: string | undefined;
  readonly quantisation?: string | undefined;
  /** What the file's digest has to be. */
  readonly sha256?: string | undefined;
  /** A model that lies on this machine is copied; else it stays where it is. */
  readonly copy?: boolean | undefined;
  readonly replace?: boolean | undefined;
  /** Also to the bucket. */
  readonly push?: boolean | undefined;
  /** Whether `source` may be a path of this machine. */
  readonly allowPaths: boolean;
}

export interface StoredModel {
  readonly id: string;
  readonly entry: RegistryEntry;
  readonly where: 'here' | 'bucket' | 'both';
}

export interface StoredModels {
  readonly models: readonly StoredModel[];
  /** Why those of the bucket are missing, as a sentence; undefined: they are not. */
  readonly trouble: string | undefined;
}

export interface Progress {
  readonly phase: 'waiting' | 'fetching' | 'reading' | 'sending';
  readonly bytes: number;
  readonly bytesAll: number | undefined;
}

export type OnProgress = (progress: Progress) => void;

/** What is wrong with a model's files; empty: nothing. */
export type Verification = readonly string[];

/** Where files lie while they are fetched. */
const INCOMING = '.incoming';

/**
 * Models of this machine, with their registry, and those of the bucket.
 *
 * Whoever changes what belongs to one id has a lock on it; others wait for that, in this process and in others.
 */
export class ModelStore {
  readonly registry: ModelRegistry;

  constructor(private readonly options: ModelStoreOptions) {
    this.registry = new ModelRegistry(options.folder);
  }

  get bucket(): ModelBucket | undefined {
    return this.options.bucket;
  }

  /** Those of this machine first, then those that only the bucket has; each in the order of their ids. */
  async models(signal: AbortSignal): Promise<StoredModels> {
    const here = await this.registry.models();
    let there: ReadonlyMap<string, RegistryEntry> = new Map();
    let trouble: string | undefined;
    try {
      there = (await this.options.bucket?.models(signal)) ?? there;
    } catch (error) {
      trouble = bucketTrouble(error);
      if (trouble === undefined) throw error;
    }
    const own = [...here].map(([id, entry]): StoredModel => ({ id, entry, where: there.has(id) ? 'both' : 'here' }));
    const others = [...there]
      .filter(([id]) => !here.has(id))
      .map(([id, entry]): StoredModel => ({ id, entry, where: 'bucket' }));
    const byId = (one: StoredModel, other: StoredModel) => (one.id < other.id ? -1 : 1);
    return { models: [...own.sort(byId), ...others.sort(byId)], trouble };
  }

  /**
   * What the registry does not know is looked for in the bucket. What it knows is `here` where the bucket is away.
   *
   * @throws ModelProblem `not_found`; `unavailable` where only the bucket could have it.
   */
  async find(id: string, signal: AbortSignal): Promise<StoredModel> {
    const here = await this.registry.find(id);
    const there = await this.options.bucket?.find(id, signal).catch((error: unknown) => {
      if (here === undefined || bucketTrouble(error) === undefined) throw error;
      return undefined;
    });
    const entry = here ?? there;
    if (entry === undefined) throw notFound(id, this.options.bucket !== undefined);
    return { id, entry, where: here === undefined ? 'bucket' : there === undefined ? 'here' : 'both' };
  }

  /** @throws ModelProblem; the signal's reason. */
  async add(text: string, terms: AddTerms, onProgress: OnProgress, signal: AbortSignal): Promise<StoredModel> {
    // Said before gigabytes have come.
    if (terms.push) this.#bucketNeeded();
    const added = await this.#add(text, terms, onProgress, signal);
    return terms.push ? this.push(added.id, onProgress, signal) : added;
  }

  async #add(text: string, terms: AddTerms, onProgress: OnProgress, signal: AbortSignal): Promise<StoredModel> {
    const source = parseModelSource(text);
    if (source.kind === 'path' && !terms.allowPaths)
      throw new ModelProblem(
        'invalid',
        `${JSON.stringify(text.slice(0, 100))} is a path, and a gateway adds no files of its own machine. Give an address that begins with https://, s3:// or hf:, or the name of a preset.`,
      );
    const id = terms.id ?? idFor(source);
    checkModelId(id);
    using _lock = await this.#lock(id, onProgress, signal);
    const former = await this.registry.find(id);
    if (former !== undefined && !terms.replace)
      throw new ModelProblem(
        'exists',
        `There is a model ${id} in the registry already. Choose another id, or give --replace.`,
      );
    const fetched = await this.#bring(id, source, terms, onProgress, signal);
    const entry = this.#entryOf(source, fetched, terms);
    await this.registry.add(id, entry, signal, { replace: terms.replace === true });
    await this.#deleteReplaced(id, former, entry);
    return { id, entry, where: 'here' };
  }

  async #bring(
    id: string,
    source: ModelSource,
    terms: AddTerms,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<{ readonly content: ModelContent; readonly files: readonly ModelFileEntry[] }> {
    if (source.kind !== 'path') return this.#fetch(id, source, terms, onProgress, signal);
    const content = await contentAt(source.path);
    if (terms.copy) {
      const files = content.files.map(({ path }) => ({
        name: path,
        remote: new LocalFile(join(content.folder, path)),
        sha256: undefined,
      }));
      return this.#keep(id, files, content.format === 'openvino', terms, onProgress, signal);
    }
    const files = await digestedFiles(content, signal, (bytes, bytesAll) =>
      onProgress({ phase: 'reading', bytes, bytesAll }),
    );
    refuseOther(digestOfFiles(files), terms.sha256, source.path);
    return { content, files };
  }

  async #fetch(
    id: string,
    source: Exclude<ModelSource, { readonly kind: 'path' }>,
    terms: AddTerms,
    onProgress: OnProgress,
    signal: AbortSignal,
  ) {
    await using sourceFiles = await remoteFiles(source, this.options.sources);
    for (const { name } of sourceFiles.files) {
      if (isBelow(name) && !name.includes('/') && /\.gguf$/i.test(name)) continue;
      throw new ModelProblem(
        'invalid',
        `${sourceText(source)} leads to no .gguf file, the only ones that are fetched. A model of another form is fetched by its own tools, and converted: millrace models convert --help.`,
      );
    }
    // As a bucket takes them: the model may be pushed.
    const files = sourceFiles.files.map((file) => ({ ...file, name: file.name.replace(/[^A-Za-z0-9._=-]+/g, '-') }));
    return await this.#keep(id, files, false, terms, onProgress, signal);
  }

  /** Fetches files aside, sees whether they are a model, and moves them to their place. */
  async #keep(
    id: string,
    files: readonly SourceFile[],
    isFolder: boolean,
    terms: AddTerms,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<{ readonly content: ModelContent; readonly files: readonly ModelFileEntry[] }> {
    const folder = join(this.options.folder, id);
    const incoming = join(folder, INCOMING);
    const fetched: ModelFileEntry[] = [];
    let before = 0;
    try {
      for (const { name, remote, sha256 } of files) {
        const result = await fetchFile(remote, join(incoming, name), signal, {
          sha256: files.length === 1 ? (terms.sha256 ?? sha256) : sha256,
          freeBytes: this.options.freeBytes,
          onProgress: (bytes, all) =>
            onProgress({ phase: 'fetching', bytes: before + bytes, bytesAll: files.length === 1 ? all : undefined }),
        });
        fetched.push({ path: name, ...result });
        before += result.bytes;
      }
    } catch (error) {
      // Of what did not begin to come nothing stays; what came so far is gone on with.
      for (const empty of [incoming, folder]) await rmdir(empty).catch(() => {});
      throw error;
    }
    try {
      if (files.length > 1) refuseOther(digestOfFiles(fetched), terms.sha256, id);
      await contentAt(isFolder ? incoming : join(incoming, files[0]!.name));
    } catch (error) {
      await rm(incoming, { recursive: true, force: true });
      throw error;
    }
    const place = await this.#moveIn(id, fetched);
    return { content: await contentAt(isFolder ? place : join(place, files[0]!.name)), files: fetched };
  }

  /**
   * Moves files that were fetched to their place: below their digest where the registry has a model of this id, whose files are its own
   * until the registry says otherwise.
   *
   * @returns the folder that they are in.
   */
  async #moveIn(id: string, files: readonly ModelFileEntry[]): Promise<string> {
    const own = join(this.options.folder, id);
    const hasFormer = (await this.registry.find(id)) !== undefined;
    const place = hasFormer ? join(own, shortDigest({ digest: digestOfFiles(files) })) : own;
    for (const { path } of files) {
      await mkdir(dirname(join(place, path)), { recursive: true });
      await rename(join(own, INCOMING, path), join(place, path));
    }
    await rm(join(own, INCOMING), { recursive: true, force: true });
    return place;
  }

  #entryOf(
    source: ModelSource,
    { content, files }: { readonly content: ModelContent; readonly files: readonly ModelFileEntry[] },
    terms: AddTerms,
  ): RegistryEntry {
    const preset = source.kind === 'preset' ? source.preset : undefined;
    return checkedEntry({
      source: source.kind === 'path' ? resolve(source.path) : sourceText(source),
      path: pathInRegistry(this.options.folder, content.path),
      digest: digestOfFiles(files),
      size: files.reduce((sum, { bytes }) => sum + bytes, 0),
      format: content.format,
      task: terms.task ?? preset?.task ?? content.task,
      template: terms.template ?? null,
      quantisation: terms.quantisation ?? content.quantisation,
      licence: terms.licence ?? content.licence ?? preset?.licence ?? null,
      added: new Date((this.options.nowMs ?? Date.now)()).toISOString(),
      ...((files.length > 1 || content.format === 'openvino') && { files: [...files] }),
    });
  }

  /** Reads all of a model's files again. @throws ModelProblem `not_found` where it is not on this machine. */
  async verify(id: string, onProgress: OnProgress, signal: AbortSignal): Promise<Verification> {
    const entry = await this.#here(id, signal);
    const folder = folderOfEntry(entry, this.registry.pathOf(entry));
    const problems: string[] = [];
    let before = 0;
    for (const { path, bytes, sha256 } of filesOfEntry(entry)) {
      const at = join(folder, path);
      const found = await digestOfFile(at, signal, (read) =>
        onProgress({ phase: 'reading', bytes: before + read, bytesAll: entry.size }),
      ).catch((error: unknown) => {
        if (!(error instanceof ModelProblem)) throw error;
        problems.push(error.message);
      });
      before += bytes;
      if (found && found.sha256 !== sha256)
        problems.push(`${at} has the digest ${found.sha256}, and the registry says ${sha256}.`);
    }
    return problems;
  }

  /**
   * What was fetched or pulled is deleted; a file that was added where it lay stays.
   *
   * @returns whether anything was there. @throws ModelProblem `busy` where others are at it for longer than `lockWaitMsMax`.
   */
  async remove(
    id: string,
    { fromBucket, lockWaitMsMax }: { readonly fromBucket: boolean; readonly lockWaitMsMax?: number },
    signal: AbortSignal,
  ): Promise<boolean> {
    checkModelId(id);
    using _lock = await this.#lock(id, () => {}, signal, lockWaitMsMax).catch((error: unknown) => {
      throw error instanceof ModelProblem && error.kind === 'busy' ? busy(id, error) : error;
    });
    const there = fromBucket && (await this.options.bucket?.remove(id, signal)) === true;
    const entry = await this.registry.remove(id, signal);
    if (entry !== undefined) await this.#deleteFiles(id, entry, new Set());
    return there || entry !== undefined;
  }

  /** What `entry` replaced: no file that `entry` has too, and none that was added where it lay. */
  async #deleteReplaced(id: string, former: RegistryEntry | undefined, entry: RegistryEntry): Promise<void> {
    if (former === undefined) return;
    const at = this.registry.pathOf(former);
    if (former.source === at || former.source === dirname(at)) return;
    await this.#deleteFiles(id, former, new Set(this.#pathsOf(entry)));
  }

  async #deleteFiles(id: string, entry: RegistryEntry, kept: ReadonlySet<string>): Promise<void> {
    const own = join(this.options.folder, id);
    const folder = folderOfEntry(entry, this.registry.pathOf(entry));
    if (folder !== own && folder !== join(own, shortDigest(entry))) return;
    const gone = this.#pathsOf(entry).filter((path) => !kept.has(path));
    for (const path of gone) await rm(path, { force: true });
    await rm(join(own, INCOMING), { recursive: true, force: true });
    // Not where somebody has put something of their own beside it.
    const folders = new Set([...gone.flatMap((path) => foldersAbove(path, own)), own]);
    for (const each of [...folders].sort((one, other) => other.length - one.length)) await rmdir(each).catch(() => {});
  }

  /** Of all files of an entry; absolute. */
  #pathsOf(entry: RegistryEntry): readonly string[] {
    const folder = folderOfEntry(entry, this.registry.pathOf(entry));
    const below = filesOfEntry(entry).filter(({ path }) => isBelow(path));
    return below.map(({ path }) => join(folder, path));
  }

  /** From the bucket to this machine. */
  async pull(
    id: string,
    { replace }: { readonly replace: boolean },
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<StoredModel> {
    checkModelId(id);
    const bucket = this.#bucketNeeded();
    using _lock = await this.#lock(id, onProgress, signal);
    const entry = await bucket.find(id, signal);
    if (entry === undefined)
      throw new ModelProblem(
        'not_found',
        `There is no model ${id} in the bucket. \`millrace models list\` shows those that are.`,
      );
    const here = await this.registry.find(id);
    if (here?.digest === entry.digest) return { id, entry: here, where: 'both' };
    if (here !== undefined && !replace)
      throw new ModelProblem(
        'exists',
        `The registry has another model ${id}, of the digest ${here.digest}. Give --replace to have that of the bucket instead.`,
      );
    const incoming = join(this.options.folder, id, INCOMING);
    const { freeBytes } = this.options;
    await bucket.pull(
      id,
      entry,
      incoming,
      { freeBytes, onBytes: (bytes, bytesAll) => onProgress({ phase: 'fetching', bytes, bytesAll }) },
      signal,
    );
    const place = await this.#moveIn(id, filesOfEntry(entry));
    const path = entry.format === 'openvino' ? place : join(place, basename(entry.path));
    const kept = { ...entry, path: pathInRegistry(this.options.folder, path) };
    await this.registry.add(id, kept, signal, { replace });
    await this.#deleteReplaced(id, here, kept);
    return { id, entry: kept, where: 'both' };
  }

  /** From this machine to the bucket, in place of what was there under this id. */
  async push(id: string, onProgress: OnProgress, signal: AbortSignal): Promise<StoredModel> {
    checkModelId(id);
    const bucket = this.#bucketNeeded();
    using _lock = await this.#lock(id, onProgress, signal);
    const entry = await this.#here(id, signal);
    const onBytes: OnBytes = (bytes, bytesAll) => onProgress({ phase: 'sending', bytes, bytesAll });
    await bucket.push(id, entry, folderOfEntry(entry, this.registry.pathOf(entry)), onBytes, signal);
    return { id, entry, where: 'both' };
  }

  async close(): Promise<void> {
    await this.options.bucket?.close();
  }

  async #here(id: string, signal: AbortSignal): Promise<RegistryEntry> {
    const here = await this.registry.find(id);
    if (here !== undefined) return here;
    await this.find(id, signal);
    throw new ModelProblem(
      'not_found',
      `The model ${id} is in the bucket, and not on this machine. Pull it first: millrace models pull ${id}`,
    );
  }

  #bucketNeeded(): ModelBucket {
    if (this.options.bucket !== undefined) return this.options.bucket;
    throw new ModelProblem(
      'invalid',
      'There is no bucket to pull from or push to: the settings name no S3 server. Set s3Url, s3Bucket, s3AccessKey and s3SecretKey.',
    );
  }

  #lock(id: string, onProgress: OnProgress, signal: AbortSignal, waitMsMax?: number): Promise<FileLock> {
    const onWait = () => onProgress({ phase: 'waiting', bytes: 0, bytesAll: undefined });
    // Of the id in lower case: there is only one of them, whatever the file system makes of it.
    return FileLock.exclusive(join(this.options.folder, '.locks', `model-${id.toLowerCase()}`), signal, {
      onWait,
      waitMsMax,
    });
  }

  /** Of the disk that models are on. */
  freeBytes(): Promise<number> {
    return (this.options.freeBytes ?? freeBytesOf)(this.options.folder);
  }
}

function idFor(source: ModelSource): string {
  if (source.kind === 'preset') return source.name;
  const name = fileNameOf(source.kind === 'path' ? { ...source, path: source.path.replace(/\/+$/, '') } : source);
  const id = modelIdOf(name.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, ''));
  if (id !== undefined) return id;
  throw new ModelProblem('invalid', `No id can be made of ${JSON.stringify(name)}. Say one with --id.`);
}

function refuseOther(digest: string, expected: string | undefined, what: string): void {
  if (expected === undefined || digest === expected) return;
  throw new ModelProblem(
    'changed',
    `${what} has the digest ${digest}, and should have ${expected}. Take the right file, or leave --sha256 out.`,
  );
}

/** Of a file: those between it and `top`. */
function foldersAbove(path: string, top: string): readonly string[] {
  const folder = dirname(path);
  return isBelow(relative(top, folder)) ? [folder, ...foldersAbove(folder, top)] : [];
}

/** Relative where it lies below, so that the folder can be moved. */
function pathInRegistry(folder: string, path: string): string {
  const below = relative(folder, path);
  return isBelow(below) ? below : path;
}

/** One that the registry could not read again would take all others with it. */
function checkedEntry(entry: RegistryEntry): RegistryEntry {
  const parsed = registryEntrySchema.safeParse(entry);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ModelProblem(
    'invalid',
    `The registry can't keep what the model says of itself: ${issue!.path.join('.')}: ${issue!.message}. Say another, as with --licence or --quantisation.`,
  );
}

/** What keeps a bucket from being asked, as a sentence; undefined: it is something else. */
function bucketTrouble(error: unknown): string | undefined {
  if (error instanceof ModelProblem && ['unavailable', 'registry'].includes(error.kind)) return error.message;
  return (error as Error).name === 'TimeoutError' ? 'The bucket did not answer in time.' : undefined;
}

function busy(id: string, cause: unknown): ModelProblem {
  return new ModelProblem(
    'busy',
    `The model ${id} is being fetched, pulled or pushed just now. Wait until that has ended, or end it, and try again.`,
    { cause },
  );
}

function notFound(id: string, hasBucket: boolean): ModelProblem {
  const where = hasBucket ? 'neither in the registry nor in the bucket' : 'not in the registry';
  return new ModelProblem(
    'not_found',
    `The model ${id} is ${where}. \`millrace models list\` shows those that there are.`,
  );
}
