import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Logger } from '@millrace/runtime';
import { sentenceOf } from './sentence-of.js';

/** How a trial ended, as it will end again. */
export type TrialOutcome = { readonly passed: true } | { readonly passed: false; readonly sentence: string };

/** A file's digest, and by what the file is known again without reading it. */
interface KnownDigest {
  readonly path: string;
  readonly size: number;
  readonly changedMs: number;
  readonly inode: number;
  readonly sha256: string;
}

interface KnownTrial {
  /** What was tried: digests of the files, and what they were tried with. */
  readonly key: string;
  /** Absent: it passed. */
  readonly failure?: string | undefined;
}

interface Remembered {
  readonly digests: readonly KnownDigest[];
  readonly trials: readonly KnownTrial[];
}

const FILE_NAME = 'model-trials.json';
/** Of each kind; the oldest are forgotten. */
const ENTRIES_MAX = 1_000;
/** A file beyond that is not ours. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

/**
 * What trials of model files have shown, kept in a file of the cache folder: a file is read through once for its digest,
 * and tried once. A cache that can't be read is begun anew, and one that can't be written costs the trials their memory.
 *
 * Ownership: several workers may share the folder. Each reads before it writes, and replaces the whole file; what two
 * write in the same moment is found out again.
 */
export class TrialMemory {
  readonly path: string;
  #warned = false;

  constructor(
    private readonly folder: string,
    private readonly logger: Logger,
  ) {
    this.path = join(folder, FILE_NAME);
  }

  /** The SHA-256 of a file, in hexadecimal. @throws what reading it throws, and the signal's reason. */
  async digestOf(path: string, signal: AbortSignal): Promise<string> {
    const { size, mtimeMs: changedMs, ino: inode } = await stat(path);
    const isSame = (each: KnownDigest) =>
      each.path === path && each.size === size && each.changedMs === changedMs && each.inode === inode;
    const known = (await this.#read()).digests.find(isSame);
    if (known !== undefined) return known.sha256;
    const hash = createHash('sha256');
    await pipeline(createReadStream(path, { highWaterMark: READ_BYTES }), hash, { signal });
    const sha256 = hash.digest('hex');
    const digest: KnownDigest = { path, size, changedMs, inode, sha256 };
    await this.#change(({ digests, trials }) => ({
      digests: [...digests.filter((each) => each.path !== path), digest],
      trials,
    }));
    return sha256;
  }

  async outcomeOf(key: string): Promise<TrialOutcome | undefined> {
    const known = (await this.#read()).trials.find((trial) => trial.key === key);
    if (known === undefined) return undefined;
    return known.failure === undefined ? { passed: true } : { passed: false, sentence: known.failure };
  }

  async note(key: string, outcome: TrialOutcome): Promise<void> {
    const trial: KnownTrial = outcome.passed ? { key } : { key, failure: outcome.sentence };
    await this.#change(({ digests, trials }) => ({
      digests,
      trials: [...trials.filter((each) => each.key !== key), trial],
    }));
  }

  async #read(): Promise<Remembered> {
    try {
      const { size } = await stat(this.path);
      if (size > FILE_BYTES_MAX) return NOTHING;
      return rememberedIn(JSON.parse(await readFile(this.path, 'utf8')));
    } catch {
      return NOTHING; // Not there yet, or not readable: everything in it can be found out again.
    }
  }

  async #change(change: (remembered: Remembered) => Remembered): Promise<void> {
    const { digests, trials } = change(await this.#read());
    const text = JSON.stringify({ digests: digests.slice(-ENTRIES_MAX), trials: trials.slice(-ENTRIES_MAX) });
    // Workers in containers that share the folder have the same process id.
    const part = `${this.path}.${randomUUID()}.part`;
    try {
      await mkdir(dirname(part), { recursive: true });
      await writeFile(part, text);
      await rename(part, this.path);
    } catch (error) {
      await rm(part, { force: true }).catch(() => undefined);
      if (this.#warned) return;
      this.#warned = true;
      this.logger.warn(
        { folder: this.folder },
        `What trials of models show can't be kept, so they are repeated at every start: ${sentenceOf(error)}. Set --cache-folder to a folder that this user may write to.`,
      );
    }
  }
}

const NOTHING: Remembered = { digests: [], trials: [] };

/** What is of the right shape in `value`; the rest was written by somebody else. */
function rememberedIn(value: unknown): Remembered {
  const { digests, trials } = Object(value) as Readonly<Record<string, unknown>>;
  return { digests: listOf(digests).filter(isDigest), trials: listOf(trials).filter(isTrial) };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, ENTRIES_MAX) : [];
}

function isDigest(value: unknown): value is KnownDigest {
  const { path, size, changedMs, inode, sha256 } = Object(value) as Readonly<Record<string, unknown>>;
  const numbers = [size, changedMs, inode].every((each) => typeof each === 'number');
  return typeof path === 'string' && numbers && typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
}

function isTrial(value: unknown): value is KnownTrial {
  const { key, failure } = Object(value) as Readonly<Record<string, unknown>>;
  return typeof key === 'string' && (failure === undefined || typeof failure === 'string');
}
