import { type BigIntStats, constants, type Dirent } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomHex } from '@millrace/runtime';
import { MeasuredContent } from '../measured-content.js';
import {
  type ByteRange,
  checkKey,
  checkPage,
  checkPrefix,
  checkRange,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  ObjectStoreFull,
  ObjectStoreUnavailable,
  type OpenObject,
  type PutLimits,
  type PutObject,
  REMOVED_KEYS_MAX,
} from '../object-store.js';
import { StoreState } from '../store-state.js';

/** What is being written, until it is whole. No key can lead there. */
const INCOMING = '.incoming';
/** What a killed process left there is removed after so long; nothing is written for longer. */
const INCOMING_AGE_MS_MAX = 24 * 60 * 60 * 1_000;
/** A folder that has become empty is removed, perhaps just before something is put into it. */
const RENAMES_MAX = 100;
const CONFLICT = 'One key is the beginning of the other’s path, and the other is there already.';
const LINKED = 'A folder on the way to this key is a link, and links are not followed.';
const READ_BYTES = 256 * 1024;
/** Its owner writes, its group reads: workers may run as somebody else. */
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;
/** Without a wait for whoever writes, where somebody has put a named pipe there. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Files in a folder, each under its key as path. People may look at them, and put files there themselves.
 *
 * Several processes may use one folder: a file appears whole, by being renamed. Nothing of it is cached.
 */
export class FolderObjectStore implements ObjectStore {
  readonly #state = new StoreState();
  #swept = false;

  /** @param folder made when something is put into it; a store that is only read may be read-only. */
  constructor(private readonly folder: string) {}

  get trouble(): string | undefined {
    return this.#state.trouble;
  }

  async put(
    key: string,
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    limits?: PutLimits,
  ): Promise<PutObject> {
    checkKey(key);
    return this.#run(signal, async (either) => {
      const incoming = await this.#incoming();
      const path = join(incoming, randomHex(32));
      const measured = new MeasuredContent(content, either, limits);
      try {
        await writeWhole(path, measured.pieces());
        either.throwIfAborted();
        await this.#moveTo(key, path);
      } catch (error) {
        await rm(path, { force: true }).catch(() => {});
        throw error;
      }
      return measured.measured();
    });
  }

  async open(key: string, signal: AbortSignal, range: ByteRange = { from: 0 }): Promise<OpenObject | undefined> {
    checkKey(key);
    checkRange(range);
    return this.#run(signal, async (either) => {
      if ((await this.#wayTo(key)) !== 'free') return undefined;
      const file = await orNothing(open(this.#pathOf(key), OPEN_FLAGS));
      if (file === undefined) return undefined;
      try {
        const stats = await file.stat({ bigint: true });
        if (stats.isFile()) return new OpenFile(file, infoOf(key, stats), range, either, this.folder);
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
      return undefined;
    });
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(key);
    return this.#run(signal, () => this.#infoAt(key));
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    if (keys.length > REMOVED_KEYS_MAX)
      throw new RangeError(`At most ${REMOVED_KEYS_MAX} keys can be removed at a time, and not ${keys.length}.`);
    for (const key of keys) checkKey(key);
    await this.#run(signal, async (either) => {
      for (const key of keys) {
        either.throwIfAborted();
        if ((await this.#infoAt(key)) === undefined) continue;
        await orNothing(unlink(this.#pathOf(key)));
        await this.#removeEmptyAbove(key);
      }
    });
  }

  async list(prefix: string, page: ListPage, signal: AbortSignal): Promise<readonly ObjectInfo[]> {
    checkPrefix(prefix);
    checkPage(page);
    return this.#run(signal, async (either) => {
      const found: ObjectInfo[] = [];
      for await (const key of this.#keysIn('', prefix, page.after ?? '')) {
        either.throwIfAborted();
        const info = await this.#infoAt(key);
        if (info !== undefined) found.push(info);
        if (found.length === page.limit) break;
      }
      return found;
    });
  }

  async close(): Promise<void> {
    await this.#state.close();
  }

  #run<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#state.run(signal, (error) => inWords(error, this.folder), work);
  }

  #pathOf(key: string): string {
    return join(this.folder, key);
  }

  async #infoAt(key: string): Promise<ObjectInfo | undefined> {
    if ((await this.#wayTo(key)) !== 'free') return undefined;
    const stats = await orNothing(stat(this.#pathOf(key), { bigint: true }));
    return stats?.isFile() ? infoOf(key, stats) : undefined;
  }

  /** Links to folders lead nowhere: whoever made one could lead keys out of this folder. A link to a file is that file. */
  async #wayTo(key: string): Promise<'free' | 'gone' | 'linked'> {
    const folder = dirname(key);
    const [root, real] = [await orNothing(realpath(this.folder)), await orNothing(realpath(this.#pathOf(folder)))];
    if (root === undefined || real === undefined) return 'gone';
    return real === join(root, folder) ? 'free' : 'linked';
  }

  async #incoming(): Promise<string> {
    const incoming = join(this.folder, INCOMING);
    await mkdir(incoming, { recursive: true, mode: FOLDER_MODE });
    if (!this.#swept) {
      this.#swept = true;
      await sweep(incoming);
    }
    return incoming;
  }

  async #moveTo(key: string, path: string): Promise<void> {
    const target = this.#pathOf(key);
    for (let attempt = 1; ; attempt++) {
      try {
        await mkdir(dirname(target), { recursive: true, mode: FOLDER_MODE });
        if ((await this.#wayTo(key)) === 'linked') throw new RangeError(LINKED);
        await rename(path, target);
        break;
      } catch (error) {
        if (error instanceof RangeError || attempt === RENAMES_MAX) throw error;
        if (await this.#isInTheWay(error, key)) throw new RangeError(CONFLICT, { cause: error });
      }
    }
    // It is in its place, whatever comes of this: somebody may have removed it again by now, and its folder.
    await syncFolder(dirname(target)).catch(() => {});
  }

  /** Whether something stays where the key is to be; an empty folder is removed, and so may be what others removed just now. */
  async #isInTheWay(error: unknown, key: string): Promise<boolean> {
    if (hasCode(error, 'ENOENT')) return false;
    if (!hasCode(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY')) throw error;
    const parts = key.split('/');
    for (let count = 1; count < parts.length; count++) {
      const above = await orNothing(stat(join(this.folder, ...parts.slice(0, count))));
      if (above !== undefined && !above.isDirectory()) return true;
    }
    try {
      await rmdir(this.#pathOf(key));
      return false;
    } catch (left) {
      return hasCode(left, 'ENOTEMPTY', 'EEXIST');
    }
  }

  async #removeEmptyAbove(key: string): Promise<void> {
    const parts = key.split('/').slice(0, -1);
    try {
      for (; parts.length > 0; parts.pop()) await rmdir(join(this.folder, ...parts));
    } catch {
      // Something is in it, or somebody else removed it.
    }
  }

  /** In the order of their keys, which is that of a walk where folders are named as keys name them: with the `/`. */
  async *#keysIn(within: string, prefix: string, after: string): AsyncGenerator<string> {
    const entries = (await orNothing(readdir(join(this.folder, within), { withFileTypes: true }))) ?? [];
    const names = entries.filter(({ name }) => isKey(within + name)).map(nameInKeys);
    for (const name of names.sort()) {
      const path = within + name;
      if (!path.endsWith('/')) {
        if (path.startsWith(prefix) && path > after) yield path;
      } else if ((path.startsWith(prefix) || prefix.startsWith(path)) && mayHold(path, after)) {
        yield* this.#keysIn(path, prefix, after);
      }
    }
  }
}

/** Links that lead to folders are not followed. */
function nameInKeys(entry: Dirent): string {
  return entry.isDirectory() ? `${entry.name}/` : entry.name;
}

/** Whether a folder can hold a key behind `after`. */
function mayHold(folder: string, after: string): boolean {
  return after < folder || after.startsWith(folder);
}

/** People put files there whose names are no keys. */
function isKey(path: string): boolean {
  try {
    checkKey(path);
    return true;
  } catch {
    return false;
  }
}

function infoOf(key: string, { size, mtimeNs, ino }: BigIntStats): ObjectInfo {
  return { key, bytes: Number(size), version: `${size}-${mtimeNs}-${ino}`, modifiedMs: Number(mtimeNs / 1_000_000n) };
}

/** An open file, and the part of it that is wanted. */
class OpenFile implements OpenObject {
  readonly key: string;
  readonly bytes: number;
  readonly version: string;
  readonly modifiedMs: number;

  constructor(
    private readonly file: FileHandle,
    info: ObjectInfo,
    private readonly range: ByteRange,
    private readonly signal: AbortSignal,
    private readonly folder: string,
  ) {
    ({ key: this.key, bytes: this.bytes, version: this.version, modifiedMs: this.modifiedMs } = info);
  }

  get content(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    const { from, bytes = Number.POSITIVE_INFINITY } = this.range;
    const end = Math.min(this.bytes, from + bytes);
    for (let at = from; at < end; ) {
      this.signal.throwIfAborted();
      const wanted = Math.min(READ_BYTES, end - at);
      const piece = await this.#piece(at, wanted);
      if (piece.byteLength === 0)
        throw new ObjectStoreUnavailable(`The file ${this.key} became shorter while it was read.`);
      at += piece.byteLength;
      yield piece;
    }
  }

  async #piece(at: number, bytes: number): Promise<Uint8Array> {
    try {
      const { bytesRead, buffer } = await this.file.read(Buffer.allocUnsafe(bytes), 0, bytes, at);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw inWords(error, this.folder);
    }
  }
}

/** On the disk, and not only on its way there. */
async function writeWhole(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    for await (const piece of pieces) await writeAll(file, piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.byteLength; ) at += (await file.write(piece, at)).bytesWritten;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes what processes that were killed left behind. What others write just now is younger. */
async function sweep(incoming: string): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    const stats = await orNothing(stat(path));
    if (stats && Date.now() - stats.mtimeMs > INCOMING_AGE_MS_MAX) await rm(path, { force: true });
  }
}

/** Undefined where there is nothing of that name; a link that leads to itself, and a socket, are nothing. */
async function orNothing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as string);
}

/** What a file system says, told as what this store is to throw. */
function inWords(error: unknown, folder: string): unknown {
  if (!(error instanceof Error && 'syscall' in error)) return error;
  if (hasCode(error, 'ENOSPC', 'EDQUOT'))
    return new ObjectStoreFull(`The disk of ${folder} is full. Remove something there.`, { cause: error });
  return new ObjectStoreUnavailable(`The folder ${folder} can't be used: ${error.message}.`, { cause: error });
}
