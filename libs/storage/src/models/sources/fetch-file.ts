import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectStoreUnavailable } from '../../object-store.js';
import { codeOf, ModelProblem } from '../model-problem.js';
import { type OpenRemote, RangeGone, RemoteBroken, type RemoteFile, type Resume } from './remote-file.js';

export interface FetchTerms {
  /** What is known of it already. */
  readonly sha256?: string | undefined;
  readonly bytes?: number | undefined;
  /** All of it, of what is to come; undefined: nobody knows. */
  readonly onProgress?: ((bytes: number, bytesAll: number | undefined) => void) | undefined;
  /** Free bytes of the disk that a folder is on; absent: as the system says. */
  readonly freeBytes?: ((folder: string) => Promise<number>) | undefined;
  readonly retryDelayMs?: number | undefined;
}

export interface FetchedFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** Without a byte between: then it is given up. */
const TRIES_MAX = 5;
const RETRY_DELAY_MS = 500;
/** Left free on the disk: others write there, too. */
export const SPARE_BYTES = 64 * 1024 * 1024;
/** Of a file whose length nobody knows, so often is the disk looked at. */
const LOOK_EACH_BYTES = 64 * 1024 * 1024;
const READ_BYTES = 256 * 1024;

/**
 * Brings a file here, under `target`, whole or not at all.
 *
 * Until it is whole and its digest is right it is `target.part`, beside which `target.part.json` says of which version it is. A fetch that
 * broke off, in this process or an earlier one, goes on behind what is there, if the file is still of that version; else it begins anew.
 * What an earlier one left is read again for the digest, which is of all bytes, whoever fetched them.
 *
 * Concurrency: one at a time for a target; whoever calls it holds a lock.
 *
 * @throws ModelProblem; the signal's reason.
 */
export async function fetchFile(
  remote: RemoteFile,
  target: string,
  signal: AbortSignal,
  terms: FetchTerms = {},
): Promise<FetchedFile> {
  await mkdir(dirname(target), { recursive: true });
  const fetch = new Fetch(remote, target, terms, signal);
  try {
    return await fetch.run();
  } catch (error) {
    signal.throwIfAborted();
    throw inWords(error, remote, target);
  } finally {
    await fetch.close();
  }
}

class Fetch {
  readonly #part: string;
  readonly #note: string;
  #file: FileHandle | undefined;
  #hash: Hash = createHash('sha256');
  /** Written and hashed. */
  #at = 0;
  /** The most that was ever there: a server that breaks off at the same place again and again brings nothing new. */
  #most = 0;
  #version: string | undefined;
  #bytes: number | undefined;
  #sha256: string | undefined;
  /** Whether some of it was fetched by an earlier process. */
  #isInherited = false;

  constructor(
    private readonly remote: RemoteFile,
    private readonly target: string,
    private readonly terms: FetchTerms,
    private readonly signal: AbortSignal,
  ) {
    this.#part = `${target}.part`;
    this.#note = `${target}.part.json`;
    this.#sha256 = terms.sha256;
    this.#bytes = terms.bytes;
  }

  async run(): Promise<FetchedFile> {
    await this.#inherit();
    for (let tries = 1; ; tries++) {
      const before = this.#most;
      try {
        await this.#fetch();
        const sha256 = this.#hash.copy().digest('hex');
        if (this.#sha256 === undefined || this.#sha256 === sha256) return await this.#finish(sha256);
        if (!this.#isInherited) throw await this.#wrongDigest(sha256);
        await this.#restart();
      } catch (error) {
        this.signal.throwIfAborted();
        if (!(error instanceof RemoteBroken || error instanceof ObjectStoreUnavailable)) throw error;
        if (error instanceof RangeGone) await this.#restart();
        if (this.#most > before) tries = 0;
        if (tries >= TRIES_MAX) throw error;
        await this.#pause(tries);
      }
    }
  }

  /** What an earlier fetch left, if it can be gone on with. */
  async #inherit(): Promise<void> {
    this.#file = await open(this.#part, 'a+');
    const { size } = await this.#file.stat();
    const version = await noteAt(this.#note);
    if (size === 0 || version === undefined) return this.#restart();
    for await (const piece of createReadStream(this.#part, { highWaterMark: READ_BYTES, end: size - 1 })) {
      this.signal.throwIfAborted();
      this.#hash.update(piece as Buffer);
    }
    this.#at = size;
    this.#most = size;
    this.#version = version;
    this.#isInherited = true;
  }

  async #restart(): Promise<void> {
    await this.#file?.truncate(0);
    await rm(this.#note, { force: true });
    this.#hash = createHash('sha256');
    this.#at = 0;
    this.#version = undefined;
    this.#isInherited = false;
  }

  async #fetch(): Promise<void> {
    // All of it may be there already: it was killed before the last step.
    if (this.#bytes !== undefined && this.#at === this.#bytes && this.terms.sha256 !== undefined) return;
    const resume: Resume | undefined =
      this.#at > 0 && this.#version !== undefined ? { from: this.#at, version: this.#version } : undefined;
    await using opened = await this.remote.open(resume, this.signal);
    if (opened.from !== this.#at) await this.#restart();
    await this.#accept(opened);
    let looked = this.#at;
    for await (const piece of opened.content) {
      this.signal.throwIfAborted();
      if (this.#bytes !== undefined && this.#at + piece.byteLength > this.#bytes)
        throw new ModelProblem(
          'source',
          `${this.remote.name} sends more than the ${numbers(this.#bytes)} bytes that it was said to have.`,
        );
      if (this.#bytes === undefined && this.#at - looked > LOOK_EACH_BYTES) {
        looked = this.#at;
        await this.#checkRoom(0);
      }
      await this.#write(piece);
      this.terms.onProgress?.(this.#at, this.#bytes);
    }
    if (this.#bytes !== undefined && this.#at < this.#bytes)
      throw new RemoteBroken(
        `${this.remote.name} was said to have ${numbers(this.#bytes)} bytes, and only ${numbers(this.#at)} came.`,
      );
  }

  async #accept({ bytes, version, sha256 }: OpenRemote): Promise<void> {
    const { terms } = this;
    if (terms.bytes !== undefined && bytes !== undefined && bytes !== terms.bytes)
      throw new ModelProblem(
        'changed',
        `${this.remote.name} has ${numbers(bytes)} bytes, and should have ${numbers(terms.bytes)}: it is another file by now.`,
      );
    if (terms.sha256 !== undefined && sha256 !== undefined && sha256 !== terms.sha256)
      throw new ModelProblem(
        'changed',
        `${this.remote.name} has the digest ${sha256}, and should have ${terms.sha256}: it is another file by now.`,
      );
    this.#bytes = terms.bytes ?? bytes;
    this.#sha256 = terms.sha256 ?? sha256;
    if (this.#bytes !== undefined) await this.#checkRoom(this.#bytes - this.#at);
    if (version !== this.#version) {
      this.#version = version;
      if (version !== undefined) await writeFile(this.#note, JSON.stringify({ version, from: this.remote.name }));
    }
    this.terms.onProgress?.(this.#at, this.#bytes);
  }

  async #checkRoom(bytes: number): Promise<void> {
    const folder = dirname(this.target);
    const free = await (this.terms.freeBytes ?? freeBytesOf)(folder);
    if (free >= bytes + SPARE_BYTES) return;
    throw new ModelProblem(
      'full',
      `${this.remote.name} needs ${megabytes(bytes)} more, and ${folder} has ${megabytes(free)} free, of which ${megabytes(SPARE_BYTES)} stay. Remove something there, or choose another folder.`,
    );
  }

  async #write(piece: Uint8Array): Promise<void> {
    this.#hash.update(piece);
    for (let at = 0; at < piece.byteLength; ) at += (await this.#file!.write(piece, at)).bytesWritten;
    this.#at += piece.byteLength;
    this.#most = Math.max(this.#most, this.#at);
  }

  async #wrongDigest(sha256: string): Promise<ModelProblem> {
    await this.#restart();
    await rm(this.#part, { force: true });
    return new ModelProblem(
      'changed',
      `What came from ${this.remote.name} has the digest ${sha256}, and should have ${this.#sha256}. It was thrown away: fetch it again, and if it stays so, ask who keeps it.`,
    );
  }

  async #finish(sha256: string): Promise<FetchedFile> {
    await this.#file!.sync();
    await rename(this.#part, this.target);
    await rm(this.#note, { force: true });
    return { bytes: this.#at, sha256 };
  }

  async #pause(tries: number): Promise<void> {
    const { retryDelayMs = RETRY_DELAY_MS } = this.terms;
    const delayMs = retryDelayMs * 2 ** tries * (0.5 + Math.random());
    await sleep(delayMs, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
  }

  async close(): Promise<void> {
    await this.#file?.close();
    // Nothing of it is there, so nothing is left behind.
    if (this.#at === 0) await rm(this.#part, { force: true });
  }
}

async function noteAt(path: string): Promise<string | undefined> {
  try {
    const { version } = Object(JSON.parse(await readFile(path, 'utf8'))) as { version?: unknown };
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}

/** Of the disk that `folder` is on. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

function inWords(error: unknown, remote: RemoteFile, target: string): unknown {
  if (error instanceof ModelProblem) return error;
  if (error instanceof RemoteBroken || error instanceof ObjectStoreUnavailable)
    return new ModelProblem(
      'unavailable',
      `${error.message} What came so far is kept: ask again, and it goes on from there.`,
      { cause: error },
    );
  if (['ENOSPC', 'EDQUOT'].includes(codeOf(error)))
    return new ModelProblem(
      'full',
      `The disk of ${dirname(target)} is full. Remove something there, and ask again: it goes on from what came.`,
      { cause: error },
    );
  if (error instanceof Error && 'syscall' in error)
    return new ModelProblem(
      'unavailable',
      `${remote.name} can't be kept in ${dirname(target)} (${codeOf(error)}). Check who may write there.`,
      { cause: error },
    );
  return error;
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1_000_000).toLocaleString('en-US')} MB`;
}

function numbers(count: number): string {
  return count.toLocaleString('en-US');
}

/** Whether it is there, as a file. */
export async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
