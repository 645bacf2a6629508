import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { randomHex } from '@millrace/runtime';

/** A process, told apart from another that has its number after it. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** The boot, a slash, and when it began as the system counts; null where the system doesn't tell. */
  readonly started: string | null;
  /** Whose numbers `pid` is one of: containers with one host's name have numbers of their own. Absent where there is no such thing. */
  readonly numbering?: string | undefined;
}

/** Who runs; a test says so itself. */
export interface Processes {
  readonly self: ProcessIdentity;
  /** Of a process on this machine: when it began, null where the system doesn't tell, undefined if it is gone. */
  startedOf(pid: number): string | null | undefined;
}

export interface FoundSegment {
  readonly path: string;
  readonly bytes: number;
}

/** How often an owner shows that it lives. */
export const HEARTBEAT_MS = 10_000;
/** Of an owner that can't be looked up, on another machine: after so long without a sign it is gone. Clocks may differ by minutes. */
const SILENCE_MS_MAX = 5 * 60_000;
/** Of one under the same system, by the same clock. */
const SAME_CLOCK_SILENCE_MS_MAX = 6 * HEARTBEAT_MS;
/** Host, process, and a number at random. */
const ID = /^[A-Za-z0-9-]*-\d+-[0-9a-f]{8}$/;

/**
 * `spool/<gateway>/…`: a folder for each gateway, and beside it `<gateway>.owner.json`, which says whose it is. A folder whose owner
 * is gone is taken over, file by file: of two gateways that try it, the one whose `rename` comes first has the file.
 */
export class SpoolFolders {
  readonly #id: string;

  constructor(
    private readonly root: string,
    private readonly processes: Processes = systemProcesses(),
  ) {
    const { host, pid } = processes.self;
    this.#id = `${host.replaceAll(/[^A-Za-z0-9-]/g, '-').slice(0, 60)}-${pid}-${randomHex(4)}`;
  }

  get own(): string {
    return join(this.root, this.#id);
  }

  /** The owner's file comes first, so that nobody ever sees a folder of a living gateway without one. May be repeated. */
  async claim(): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    // Whole or not at all: half of one would be nobody's.
    const file = this.#ownerFile(this.#id);
    await writeFile(`${file}.new`, JSON.stringify(this.processes.self), { mode: 0o600 });
    await rename(`${file}.new`, file);
    await mkdir(this.own, { recursive: true, mode: 0o700 });
  }

  /** Shows that this gateway lives. */
  async beat(): Promise<void> {
    const now = new Date();
    await utimes(this.#ownerFile(this.#id), now, now).catch(() => this.claim());
  }

  /** Takes over what gateways that are gone have left. */
  async adopt(): Promise<readonly FoundSegment[]> {
    const entries = await readdir(this.root, { withFileTypes: true });
    // Of one that ended between making its file and its folder, or removing them, only the file is left.
    const ids = entries.map(({ name }) => name.replace(/\.owner\.json$/, '')).filter((id) => ID.test(id));
    const found: FoundSegment[] = [];
    for (const id of new Set(ids)) {
      if (id !== this.#id && (await this.#isGone(id))) found.push(...(await this.#takeOver(id)));
    }
    return found;
  }

  /** The folder itself stays if anything is in it, and is then nobody's. */
  async close(): Promise<void> {
    await rmdir(this.own).catch(() => undefined);
    await rm(this.#ownerFile(this.#id), { force: true }).catch(() => undefined);
  }

  async #takeOver(id: string): Promise<readonly FoundSegment[]> {
    const folder = join(this.root, id);
    const found: FoundSegment[] = [];
    await mkdir(this.own, { recursive: true, mode: 0o700 });
    for (const file of await readdir(folder).catch(() => [])) {
      if (!file.endsWith('.jsonl')) continue;
      // What was inherited before has its first owner's name already; so no two have the same.
      const path = join(this.own, /^\d+\.jsonl$/.test(file) ? `${id}.${file}` : file);
      const isOurs = await rename(join(folder, file), path).then(
        () => true,
        () => false,
      );
      if (isOurs) found.push({ path, bytes: (await stat(path)).size });
    }
    await rmdir(folder).catch(() => undefined);
    await rm(this.#ownerFile(id), { force: true });
    return found.sort((one, other) => (one.path < other.path ? -1 : 1));
  }

  async #isGone(id: string): Promise<boolean> {
    const file = this.#ownerFile(id);
    const owner = await readFile(file, 'utf8').then(parseOwner, () => undefined);
    if (owner === undefined) return true;
    const silentMs = await stat(file).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => Number.POSITIVE_INFINITY,
    );
    const { self } = this.processes;
    const isSilent = silentMs > (isSameBoot(owner, self) ? SAME_CLOCK_SILENCE_MS_MAX : SILENCE_MS_MAX);
    if (owner.host !== self.host || owner.numbering !== self.numbering) return isSilent;
    const started = this.processes.startedOf(owner.pid);
    if (started === undefined) return true;
    return started === null || owner.started === null ? isSilent : started !== owner.started;
  }

  #ownerFile(id: string): string {
    return join(this.root, `${id}.owner.json`);
  }
}

function parseOwner(text: string): ProcessIdentity | undefined {
  try {
    const { host, pid, started, numbering } = JSON.parse(text) as Partial<ProcessIdentity>;
    if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
    return { host, pid, started: started ?? null, numbering };
  } catch {
    return undefined;
  }
}

function systemProcesses(): Processes {
  const self = { host: hostname(), pid: process.pid, started: startedOf(process.pid) ?? null, numbering: numbering() };
  return { self, startedOf };
}

function numbering(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}

function isSameBoot(one: ProcessIdentity, other: ProcessIdentity): boolean {
  const [boot, atTick] = one.started?.split('/') ?? [];
  return atTick !== undefined && other.started?.split('/', 1)[0] === boot;
}

function startedOf(pid: number): string | null | undefined {
  if (process.platform !== 'linux') return isRunning(pid) ? null : undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program stands in brackets and may hold anything; 20 fields behind it is the start, in ticks since the boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // It has ended, and nobody has asked how.
    if (fields[0] === 'Z') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, as somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
