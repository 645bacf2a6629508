import { type FileHandle, open, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MemorySegment } from './memory-segment.js';
import { SYNC_MS, UnsyncedFiles } from './unsynced-files.js';

/** Where records wait until the database has them: lines of JSON in files, or in memory while there is no disk. */
export interface SpoolOptions {
  /** This gateway's own. */
  readonly folder: string;
  /** Makes the folder, and says that it is ours; asked again whenever the folder is not there. */
  readonly claim: () => Promise<void>;
  /** What all segments may hold, those of other gateways that were taken over among them. */
  readonly bytesMax: number;
  /** What may be in memory: on its way to the disk, or instead of it. */
  readonly memoryBytesMax: number;
  /** Told when the disk begins to fail, and when it works again. */
  readonly onDisk: (failure: Error | undefined) => void;
  /** How long a disk that failed is left alone. */
  readonly diskRetryMs?: number;
  /** Brings a file to the disk itself. */
  readonly sync?: (path: string) => Promise<void>;
  readonly syncMs?: number;
}

/** A part of the spool that nobody writes to any more. */
export interface Segment {
  /** Lines in it, as far as is known; of another gateway's it is a guess until they are read. */
  readonly records: number;
  /** From another gateway, or from an earlier life of this one. */
  readonly isInherited: boolean;
  /** @throws what the disk says. */
  lines(): Promise<readonly string[]>;
}

/** A segment is read at once, so this is memory, and a few milliseconds; and what a killed gateway's successor sends again. */
const SEGMENT_BYTES_MAX = 1024 * 1024;
const DISK_RETRY_MS = 5_000;
/**
 * Lines are gathered so long, then appended together. Appending each at once costs twice the CPU at 2,000 records a second (about 60 µs
 * for each, against 30), and this is what a killed process loses.
 */
const APPEND_MS = 2;
/** Records are about so long, without contents. */
const RECORD_BYTES = 600;

export type Appended = 'kept' | 'spool_full' | 'memory_full';

class FileSegment implements Segment {
  bytes = 0;
  records = 0;
  readonly isInherited: boolean = false;

  constructor(
    readonly path: string,
    readonly handle: FileHandle,
  ) {}

  async lines(): Promise<readonly string[]> {
    return linesOf((await readFile(this.path)).subarray(0, this.bytes));
  }
}

class InheritedSegment implements Segment {
  readonly isInherited = true;
  readonly records: number;

  constructor(
    readonly path: string,
    readonly bytes: number,
  ) {
    this.records = Math.max(1, Math.ceil(bytes / RECORD_BYTES));
  }

  async lines(): Promise<readonly string[]> {
    return linesOf(await readFile(this.path));
  }
}

/** The last line may be half of one, without its end; it is a line all the same, for whoever reads it to judge. */
function linesOf(bytes: Buffer): readonly string[] {
  return bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
}

type AnySegment = FileSegment | InheritedSegment | MemorySegment;

/**
 * Records on their way: appended to a file every `APPEND_MS`, so that a killed process loses those of the last few milliseconds and
 * no more: the file is the operating system's then, which a killed process leaves alone. What stays for `SYNC_MS`, since the
 * database is away, is brought to the disk as well; a sync for each batch would keep the disk busy with files that are gone at once.
 *
 * A segment is read only after nobody writes to it: `oldest` closes the one that is being written, and the next line begins another.
 *
 * Ownership: the folder and all segments in it are this object's. Concurrency: one thing at a time happens to the segment that is
 * being written, in `#alone`; what is appended meanwhile waits in `#lines`. Under constant load there is always a next write, so
 * closing a segment takes its turn between two.
 */
export class Spool {
  /** On their way to the file. */
  #lines: string[] = [];
  #lineBytes = 0;
  #writing: Promise<void> | undefined;
  /** Of the next lines in their segment. */
  #arrival = Promise.withResolvers<void>();
  #lastInLine: Promise<unknown> = Promise.resolve();
  #live: FileSegment | MemorySegment | undefined;
  readonly #own: AnySegment[] = [];
  readonly #inherited: InheritedSegment[] = [];
  #bytes = 0;
  #records = 0;
  /** Of `#bytes`, those in memory segments. */
  #heldBytes = 0;
  #made = 0;
  #diskFailedAtMs: number | undefined;
  #tookInherited = false;

  readonly #unsynced: UnsyncedFiles;
  #syncTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SpoolOptions) {
    this.#unsynced = new UnsyncedFiles(options.sync);
  }

  /** Of all that waits, wherever it lies. */
  get bytes(): number {
    return this.#bytes + this.#lineBytes;
  }

  get records(): number {
    return this.#records + this.#lines.length;
  }

  /** Finds out whether there is a disk. Never fails: without one, memory has to do. */
  async open(): Promise<void> {
    await this.options.claim().catch((error: Error) => this.#giveUpDisk(error));
    const ms = this.options.syncMs ?? SYNC_MS;
    this.#syncTimer = setInterval(() => void this.#unsynced.syncOlderThan(ms), ms).unref();
  }

  /** Without a break in it, nor at its end. Never waits. */
  append(line: string): Appended {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.bytes + bytes > this.options.bytesMax) return 'spool_full';
    if (this.#heldBytes + this.#lineBytes + bytes > this.options.memoryBytesMax) return 'memory_full';
    this.#lines.push(line);
    this.#lineBytes += bytes;
    this.#writing ??= this.#writeAll();
    return 'kept';
  }

  /** Of another gateway that is gone; its file is ours now. */
  inherit(path: string, bytes: number): void {
    const segment = new InheritedSegment(path, bytes);
    this.#inherited.push(segment);
    this.#bytes += bytes;
    this.#records += segment.records;
  }

  /** The one that has waited longest; own ones and inherited ones in turn, so that a large heritage doesn't hold up today's. */
  async oldest(): Promise<Segment | undefined> {
    // On their way to the file, and nothing else is there: whoever asks again at once would never let them arrive.
    if (this.#own.length === 0 && this.#live === undefined && this.#lines.length > 0) await this.#arrival.promise;
    if (this.#own.length === 0) await this.#alone(() => this.#seal());
    const inheritedFirst = this.#own.length === 0 || !this.#tookInherited;
    this.#tookInherited = inheritedFirst && this.#inherited.length > 0;
    return (this.#tookInherited ? this.#inherited : this.#own)[0];
  }

  /** After all of its rows are in the database, or given up. */
  async remove(segment: Segment): Promise<void> {
    const queue: AnySegment[] = segment.isInherited ? this.#inherited : this.#own;
    const index = queue.indexOf(segment as AnySegment);
    if (index < 0) return;
    const [removed] = queue.splice(index, 1);
    this.#bytes -= removed!.bytes;
    this.#records -= removed!.records;
    if (removed instanceof MemorySegment) {
      this.#heldBytes -= removed.bytes;
      return;
    }
    this.#unsynced.forget(removed!.path);
    // One that stays behind is written again by a later start, which changes nothing.
    await rm(removed!.path, { force: true }).catch(() => undefined);
  }

  /** What is on the disk stays there, for the next start. @returns how many records were in memory alone, and are lost. */
  async close(): Promise<number> {
    await this.#writing;
    await this.#alone(() => this.#seal());
    clearInterval(this.#syncTimer);
    await this.#unsynced.syncOlderThan(0);
    // Stays if there is anything in it.
    await rmdir(this.options.folder).catch(() => undefined);
    const lost = this.#own.filter((segment) => segment instanceof MemorySegment);
    return lost.reduce((sum, { records }) => sum + records, 0);
  }

  async #writeAll(): Promise<void> {
    while (this.#lines.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, APPEND_MS));
      await this.#alone(() => this.#write());
    }
    this.#writing = undefined;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastInLine.then(work);
    this.#lastInLine = done.catch(() => undefined);
    return done;
  }

  async #write(): Promise<void> {
    // A copy: while it is written, more are added behind them.
    const lines = [...this.#lines];
    const bytes = this.#lineBytes;
    const text = `${lines.join('\n')}\n`;
    let failure: unknown;
    try {
      if (this.#live !== undefined && this.#isOver(this.#live, bytes)) await this.#seal();
      this.#live ??= await this.#begin();
      if (this.#live instanceof FileSegment) await this.#live.handle.appendFile(text);
    } catch (error) {
      failure = error;
    }
    // Only now: until the file has them they are lines in memory, and counted there.
    this.#lines = this.#lines.slice(lines.length);
    this.#lineBytes -= bytes;
    if (failure !== undefined) await this.#giveUpDisk(failure as Error);
    this.#hold(lines, bytes);
  }

  #hold(lines: readonly string[], bytes: number): void {
    this.#live ??= new MemorySegment();
    if (this.#live instanceof MemorySegment) {
      this.#live.add(lines);
      this.#heldBytes += bytes;
    } else this.#unsynced.wrote(this.#live.path);
    this.#live.bytes += bytes;
    this.#live.records += lines.length;
    this.#bytes += bytes;
    this.#records += lines.length;
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }

  /** Whether another segment should take the next lines. */
  #isOver(live: FileSegment | MemorySegment, bytes: number): boolean {
    const isFull = live.bytes + bytes > Math.min(SEGMENT_BYTES_MAX, this.options.bytesMax / 8);
    return isFull || (live instanceof MemorySegment && !this.#isDiskGivenUp());
  }

  /** A disk that is full or read-only is asked again now and then; meanwhile memory holds what it can. */
  #isDiskGivenUp(): boolean {
    return (
      this.#diskFailedAtMs !== undefined &&
      performance.now() - this.#diskFailedAtMs < (this.options.diskRetryMs ?? DISK_RETRY_MS)
    );
  }

  async #begin(): Promise<FileSegment | MemorySegment> {
    if (this.#isDiskGivenUp()) return new MemorySegment();
    const path = join(this.options.folder, `${String(++this.#made).padStart(8, '0')}.jsonl`);
    const handle = await this.#openFile(path);
    if (this.#diskFailedAtMs !== undefined) this.options.onDisk(undefined);
    this.#diskFailedAtMs = undefined;
    return new FileSegment(path, handle);
  }

  /** Only its owner may read it: contents may be in it. A folder that somebody tidied away is made again. */
  async #openFile(path: string): Promise<FileHandle> {
    try {
      return await open(path, 'ax', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await this.options.claim();
      return open(path, 'ax', 0o600);
    }
  }

  /** What was written in part stays where it is: only whole lines of it count, and those that did not fit are held in memory. */
  async #giveUpDisk(error: Error): Promise<void> {
    await this.#seal().catch(() => undefined);
    if (this.#diskFailedAtMs === undefined) this.options.onDisk(error);
    this.#diskFailedAtMs = performance.now();
  }

  async #seal(): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    if (live === undefined) return;
    if (live.records > 0) this.#own.push(live);
    if (live instanceof FileSegment) {
      await live.handle.close().catch(() => undefined);
      if (live.records === 0) await rm(live.path, { force: true }).catch(() => undefined);
    }
  }
}
