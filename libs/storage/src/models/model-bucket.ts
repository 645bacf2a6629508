import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import {
  checkKey,
  LISTED_KEYS_MAX,
  type ObjectInfo,
  type ObjectStore,
  ObjectStoreUnavailable,
  REMOVED_KEYS_MAX,
} from '../object-store.js';
import { filesOfEntry, type OnBytes } from './model-content.js';
import { checkModelId, isModelId } from './model-id.js';
import { ModelProblem } from './model-problem.js';
import { isBelow, type RegistryEntry, registryEntrySchema } from './registry-entry.js';
import { type FetchTerms, fetchFile } from './sources/fetch-file.js';
import { ObjectFile } from './sources/object-file.js';

const ENTRY_NAME = 'model.json';
const ENTRY_BYTES_MAX = 2 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** So many entries are read at a time. */
const ENTRIES_AT_A_TIME = 8;
/** Far more than anybody has; a bucket that never ends to list keys ends here. */
const KEYS_MAX = 1_000_000;

/**
 * Models in a bucket (or in whatever stands behind the port), for whoever has its key: `<id>/model.json` is what the registry knows of one,
 * and `<id>/<digest>/…` are its files.
 *
 * The registry is one file for each model here, since a bucket has no lock: two that push two models do not overwrite each other's lines. A
 * model is there once its `model.json` is, which is written last; its files lie below their digest and never change, so that who reads them
 * meanwhile has all of one version.
 */
export class ModelBucket {
  /** By id: what was read, or what was wrong with it. */
  readonly #read = new Map<string, { readonly version: string; readonly entry: RegistryEntry | ModelProblem }>();

  constructor(private readonly store: ObjectStore) {}

  get trouble(): string | undefined {
    return this.store.trouble;
  }

  /** All of them, by id. What is no model there is passed over. Only what is another than it was is read again: the list says which. */
  async models(signal: AbortSignal): Promise<ReadonlyMap<string, RegistryEntry>> {
    const listed: { readonly id: string; readonly info: ObjectInfo }[] = [];
    for await (const info of this.#keys('', signal)) {
      const [id = '', name, more] = info.key.split('/');
      if (name === ENTRY_NAME && more === undefined && isModelId(id)) listed.push({ id, info });
    }
    const ids = new Set(listed.map(({ id }) => id));
    for (const id of this.#read.keys()) if (!ids.has(id)) this.#read.delete(id);
    const found = new Map<string, RegistryEntry>();
    for (let at = 0; at < listed.length; at += ENTRIES_AT_A_TIME) {
      const some = listed.slice(at, at + ENTRIES_AT_A_TIME);
      const entries = await Promise.all(some.map(({ id, info }) => asProblem(() => this.#entry(id, info, signal))));
      for (const [index, entry] of entries.entries())
        if (entry !== undefined && !(entry instanceof ModelProblem)) found.set(some[index]!.id, entry);
    }
    return found;
  }

  /** @throws ModelProblem `registry` where what is there is not what it should be; `unavailable`. */
  async find(id: string, signal: AbortSignal): Promise<RegistryEntry | undefined> {
    checkModelId(id);
    return asProblem(async () => {
      const key = `${id}/${ENTRY_NAME}`;
      const info = await this.store.stat(key, signal);
      if (info === undefined) return undefined;
      const entry = await this.#entry(id, info, signal);
      if (entry instanceof ModelProblem) throw entry;
      return entry;
    });
  }

  /** What was read of this version, or is read now. */
  async #entry(
    id: string,
    { key, version, bytes }: ObjectInfo,
    signal: AbortSignal,
  ): Promise<RegistryEntry | ModelProblem | undefined> {
    const known = this.#read.get(id);
    if (known?.version === version) return known.entry;
    if (bytes > ENTRY_BYTES_MAX) return brokenEntry(key, `it has ${bytes.toLocaleString('en-US')} bytes`);
    await using opened = await this.store.open(key, signal);
    if (opened === undefined) return undefined;
    const entry = await entryIn(key, opened.content).catch((error: unknown) => {
      if (error instanceof ModelProblem) return error;
      throw error;
    });
    this.#read.set(id, { version: opened.version, entry });
    return entry;
  }

  /** Sends its files, and then what is known of it. @param folder what the paths of its files are relative to. */
  async push(id: string, entry: RegistryEntry, folder: string, onBytes: OnBytes, signal: AbortSignal): Promise<void> {
    checkModelId(id);
    const files = filesOfEntry(entry);
    for (const { path } of files) refuseUnlessKey(keyOf(id, entry, path));
    await asProblem(async () => {
      let before = 0;
      for (const { path, bytes, sha256 } of files) {
        const key = keyOf(id, entry, path);
        // It is below its digest, and whole or not there: an earlier push brought it.
        const isThere = (await this.store.stat(key, signal))?.bytes === bytes;
        if (!isThere)
          await this.#send(
            key,
            join(folder, path),
            { bytes, sha256 },
            (sent) => onBytes(before + sent, entry.size),
            signal,
          );
        before += bytes;
        onBytes(before, entry.size);
      }
      const path = entry.format === 'openvino' ? shortDigest(entry) : `${shortDigest(entry)}/${files[0]!.path}`;
      const text = Buffer.from(`${JSON.stringify({ ...entry, path }, null, 2)}\n`);
      await this.store.put(`${id}/${ENTRY_NAME}`, pieces(text), signal);
      await this.#removeBut(id, [`${id}/${ENTRY_NAME}`, `${id}/${shortDigest(entry)}/`], signal);
    });
  }

  async #send(
    key: string,
    path: string,
    expected: { readonly bytes: number; readonly sha256: string },
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const put = await this.store.put(
      key,
      counted(createReadStream(path, { highWaterMark: READ_BYTES }), onBytes),
      signal,
      {
        bytesExpected: expected.bytes,
      },
    );
    if (put.sha256 === expected.sha256) return;
    await this.store.remove([key], signal);
    throw new ModelProblem(
      'changed',
      `${path} has the digest ${put.sha256}, and the registry says ${expected.sha256}: the file was changed since it was added. Add it again with --replace if that was meant.`,
    );
  }

  /** Brings a model's files into a folder, each verified. */
  async pull(
    id: string,
    entry: RegistryEntry,
    folder: string,
    terms: Pick<FetchTerms, 'freeBytes'> & { readonly onBytes?: OnBytes | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    checkModelId(id);
    let before = 0;
    for (const { path, bytes, sha256 } of filesOfEntry(entry)) {
      if (!isBelow(path)) throw brokenEntry(`${id}/${ENTRY_NAME}`, `path leads to ${JSON.stringify(path)}`);
      const remote = new ObjectFile(this.store, keyOf(id, entry, path), `${id}/${path}`);
      await fetchFile(remote, join(folder, path), signal, {
        ...{ bytes, sha256, freeBytes: terms.freeBytes },
        onProgress: (fetched) => terms.onBytes?.(before + fetched, entry.size),
      });
      before += bytes;
    }
  }

  /** Whether there was one. */
  async remove(id: string, signal: AbortSignal): Promise<boolean> {
    checkModelId(id);
    return asProblem(async () => {
      const key = `${id}/${ENTRY_NAME}`;
      const wasThere = (await this.store.stat(key, signal)) !== undefined;
      // First what makes it one: nobody begins with it any more.
      await this.store.remove([key], signal);
      await this.#removeBut(id, [], signal);
      return wasThere;
    });
  }

  async #removeBut(id: string, kept: readonly string[], signal: AbortSignal): Promise<void> {
    const gone: string[] = [];
    for await (const { key } of this.#keys(`${id}/`, signal))
      if (!kept.some((each) => key.startsWith(each))) gone.push(key);
    for (let at = 0; at < gone.length; at += REMOVED_KEYS_MAX)
      await this.store.remove(gone.slice(at, at + REMOVED_KEYS_MAX), signal);
  }

  async *#keys(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    let after: string | undefined;
    for (let keys = 0; keys < KEYS_MAX; ) {
      const page = await asProblem(() => this.store.list(prefix, { after, limit: LISTED_KEYS_MAX }, signal));
      yield* page;
      if (page.length < LISTED_KEYS_MAX) return;
      keys += page.length;
      after = page.at(-1)!.key;
    }
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}

/** Enough of it that no two versions of a model share a folder. */
export function shortDigest({ digest }: Pick<RegistryEntry, 'digest'>): string {
  return digest.slice(0, 16);
}

function keyOf(id: string, entry: RegistryEntry, path: string): string {
  return `${id}/${shortDigest(entry)}/${path}`;
}

function refuseUnlessKey(key: string): void {
  try {
    checkKey(key);
  } catch (error) {
    throw new ModelProblem(
      'invalid',
      `A file of the model can't be called so in a bucket: ${(error as Error).message} Rename it, and add the model again.`,
      { cause: error },
    );
  }
}

async function entryIn(key: string, content: AsyncIterable<Uint8Array>): Promise<RegistryEntry> {
  const all: Uint8Array[] = [];
  for await (const piece of content) all.push(piece);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(all).toString('utf8'));
  } catch (error) {
    throw brokenEntry(key, (error as Error).message);
  }
  const parsed = registryEntrySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw brokenEntry(key, `${issue!.path.join('.')}: ${issue!.message}`);
}

function brokenEntry(key: string, why: string): ModelProblem {
  return new ModelProblem('registry', `${key} in the bucket can't be used: ${why}. Push the model again.`);
}

/** What is wrong with the bucket, as what is wrong with a model. */
async function asProblem<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ObjectStoreUnavailable) throw new ModelProblem('unavailable', error.message, { cause: error });
    throw error;
  }
}

async function* pieces(text: Uint8Array): AsyncGenerator<Uint8Array> {
  yield text;
}

async function* counted(
  content: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of content) {
    yield piece;
    bytes += piece.byteLength;
    onBytes(bytes);
  }
}
