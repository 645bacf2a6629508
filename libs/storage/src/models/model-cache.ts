import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FileLock } from './file-lock.js';
import { type ModelBucket, shortDigest } from './model-bucket.js';
import { filesOfEntry, type OnBytes } from './model-content.js';
import { checkModelId } from './model-id.js';
import { ModelProblem } from './model-problem.js';
import type { RegistryEntry } from './registry-entry.js';
import { freeBytesOf, megabytes, SPARE_BYTES } from './sources/fetch-file.js';

export interface ModelCacheOptions {
  /** Absolute. Several workers of a machine share it. */
  readonly folder: string;
  readonly bytesMax: number;
  readonly freeBytes?: ((folder: string) => Promise<number>) | undefined;
}

/** A model that lies here, and stays while it is held. */
export interface CachedModel extends Disposable {
  /** Of its file, or of its folder. */
  readonly path: string;
}

/** Written last: all files are there, each verified. */
const COMPLETE = '.complete';
/** How large it will be: others reckon with it while it is fetched. */
const SIZE = '.size';
const LOCKS = '.locks';
/** What it calls its folders: everything else that lies there is somebody else's, and stays. */
const OWN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*@[0-9a-f]{16}$/;

interface Kept {
  readonly name: string;
  readonly bytes: number;
  /** When it was last used; of one that is not complete, when it was begun. */
  readonly usedMs: number;
}

/**
 * Models of the bucket on this machine's disk, each below its id and digest, fetched when they are first wanted.
 *
 * Workers that want the same model at a time wait for one of them to fetch it, which has the lock of its fetch meanwhile. Whoever uses one
 * shares the lock of its use; whoever deletes it has both alone, so that nothing goes that is in use, and the system frees the locks of a
 * worker that was killed. What it had fetched of a file so far is gone on with.
 */
export class ModelCache {
  constructor(
    private readonly bucket: ModelBucket,
    private readonly options: ModelCacheOptions,
  ) {}

  /** @throws ModelProblem; the signal's reason. */
  async use(id: string, entry: RegistryEntry, onBytes: OnBytes, signal: AbortSignal): Promise<CachedModel> {
    checkModelId(id);
    const name = `${id}@${shortDigest(entry)}`;
    for (;;) {
      const held = await FileLock.shared(this.#lockOf(name, 'use'), signal);
      try {
        if (await this.#isComplete(name)) return this.#cached(name, entry, held);
      } catch (error) {
        held[Symbol.dispose]();
        throw error;
      }
      held[Symbol.dispose]();
      using _alone = await FileLock.exclusive(this.#lockOf(name, 'fetch'), signal);
      if (!(await this.#isComplete(name))) await this.#fetch(id, name, entry, onBytes, signal);
    }
  }

  /** Whether it lies here already. */
  async has(id: string, entry: RegistryEntry): Promise<boolean> {
    return this.#isComplete(`${id}@${shortDigest(entry)}`);
  }

  async #cached(name: string, entry: RegistryEntry, held: FileLock): Promise<CachedModel> {
    // In seconds; a Date has milliseconds, in which two may be used.
    const now = (performance.timeOrigin + performance.now()) / 1_000;
    await utimes(join(this.options.folder, name, COMPLETE), now, now).catch(() => {});
    const folder = join(this.options.folder, name);
    const path = entry.format === 'openvino' ? folder : join(folder, basename(filesOfEntry(entry)[0]!.path));
    return { path, [Symbol.dispose]: () => held[Symbol.dispose]() };
  }

  async #fetch(id: string, name: string, entry: RegistryEntry, onBytes: OnBytes, signal: AbortSignal): Promise<void> {
    const folder = join(this.options.folder, name);
    await this.#makeRoom(name, entry, signal);
    await this.bucket.pull(id, entry, folder, { freeBytes: this.options.freeBytes, onBytes }, signal);
    await writeFile(join(folder, COMPLETE), `${entry.digest}\n`);
  }

  /** Deletes what was not used for longest until it fits, and sets its room aside. */
  async #makeRoom(name: string, { size }: RegistryEntry, signal: AbortSignal): Promise<void> {
    const { folder, bytesMax } = this.options;
    await mkdir(join(folder, name), { recursive: true });
    using _room = await FileLock.exclusive(join(folder, LOCKS, 'room'), signal);
    const others = (await this.#kept())
      .filter((kept) => kept.name !== name)
      .sort((one, other) => one.usedMs - other.usedMs);
    const needed = Math.max(0, size - (await this.#fetchedBytes(name)));
    let taken = others.reduce((sum, { bytes }) => sum + bytes, 0);
    const fits = async () => taken + size <= bytesMax && (await this.#free()) >= needed + SPARE_BYTES;
    for (const oldest of others) {
      if (await fits()) break;
      using fetching = FileLock.tryExclusive(this.#lockOf(oldest.name, 'fetch'));
      using unused = fetching && FileLock.tryExclusive(this.#lockOf(oldest.name, 'use'));
      if (unused === undefined) continue;
      await rm(join(folder, oldest.name), { recursive: true, force: true });
      taken -= oldest.bytes;
    }
    if (!(await fits())) throw await this.#full(size, taken);
    await writeFile(join(folder, name, SIZE), String(size));
  }

  /** What an earlier fetch left of it, which takes its part of the disk already. */
  async #fetchedBytes(name: string): Promise<number> {
    const at = join(this.options.folder, name);
    const entries = await readdir(at, { withFileTypes: true, recursive: true });
    const files = entries.filter((entry) => entry.isFile());
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, bytes) => sum + bytes, 0);
  }

  async #full(size: number, taken: number): Promise<ModelProblem> {
    const { bytesMax, folder } = this.options;
    const room = `of ${megabytes(bytesMax)} (modelCacheBytesMax) ${megabytes(taken)} are in use, and the disk has ${megabytes(await this.#free())} free`;
    return new ModelProblem(
      'full',
      `The model takes ${megabytes(size)}, and ${folder} has no room for it: ${room}. Raise modelCacheBytesMax, or free some of the disk.`,
    );
  }

  async #free(): Promise<number> {
    return (this.options.freeBytes ?? freeBytesOf)(this.options.folder);
  }

  async #kept(): Promise<Kept[]> {
    const entries = await readdir(this.options.folder, { withFileTypes: true });
    const own = entries.filter((entry) => entry.isDirectory() && OWN_NAME.test(entry.name));
    return Promise.all(own.map(({ name }) => this.#keptAt(name)));
  }

  async #keptAt(name: string): Promise<Kept> {
    const at = (file: string) => join(this.options.folder, name, file);
    const bytes = Number(await readFile(at(SIZE), 'utf8').catch(() => '0')) || 0;
    const used = await stat(at(COMPLETE)).catch(() => stat(at(SIZE)).catch(() => undefined));
    return { name, bytes, usedMs: used?.mtimeMs ?? 0 };
  }

  async #isComplete(name: string): Promise<boolean> {
    return stat(join(this.options.folder, name, COMPLETE)).then(
      () => true,
      () => false,
    );
  }

  #lockOf(name: string, what: 'use' | 'fetch'): string {
    return join(this.options.folder, LOCKS, `${name}.${what}`);
  }
}
