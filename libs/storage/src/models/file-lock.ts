import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, ModelProblem } from './model-problem.js';

const POLL_MS_MIN = 10;
const POLL_MS_MAX = 250;
const SQLITE_BUSY = 5;

export interface LockWait {
  /** Absent: as long as the signal allows. */
  readonly waitMsMax?: number | undefined;
  /** Called once, where somebody else has it. */
  readonly onWait?: (() => void) | undefined;
}

/**
 * A lock between the processes of a machine, on a file: one holds it alone, or several share it.
 *
 * It is SQLite's, in an empty database, since that is the one way in which Node locks files by the system itself: when its process ends,
 * however that ends, the lock is free. A file with a process id in it, which is what libraries for it on npm make (proper-lockfile, whose
 * last release is of 2021), has to guess whether who made it is still alive. Where several machines share the folder, their file system
 * has to know POSIX locks, as NFS from version 4 does.
 *
 * Concurrency: two in one process exclude each other as those of two processes do.
 */
export class FileLock implements Disposable {
  #database: DatabaseSync | undefined;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws ModelProblem `busy` after `waitMsMax`; the signal's reason. */
  static exclusive(path: string, signal: AbortSignal, wait: LockWait = {}): Promise<FileLock> {
    return locked(path, () => FileLock.tryExclusive(path), signal, wait);
  }

  /** @throws as `exclusive`. */
  static shared(path: string, signal: AbortSignal, wait: LockWait = {}): Promise<FileLock> {
    return locked(path, () => FileLock.#try(path, 'BEGIN; SELECT count(*) FROM sqlite_master'), signal, wait);
  }

  /** Undefined: somebody has it. */
  static tryExclusive(path: string): FileLock | undefined {
    return FileLock.#try(path, 'BEGIN EXCLUSIVE');
  }

  static #try(path: string, begin: string): FileLock | undefined {
    let database: DatabaseSync | undefined;
    try {
      mkdirSync(dirname(path), { recursive: true });
      database = new DatabaseSync(path, { timeout: 0 });
      database.exec(begin);
      return new FileLock(database);
    } catch (error) {
      database?.close();
      if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return undefined;
      throw new ModelProblem('unavailable', `${path} can't be locked (${codeOf(error)}). Check who may write there.`, {
        cause: error,
      });
    }
  }

  [Symbol.dispose](): void {
    this.#database?.close();
    this.#database = undefined;
  }
}

async function locked(
  path: string,
  attempt: () => FileLock | undefined,
  signal: AbortSignal,
  { waitMsMax = Number.POSITIVE_INFINITY, onWait }: LockWait,
): Promise<FileLock> {
  const untilMs = performance.now() + waitMsMax;
  for (let pollMs = POLL_MS_MIN; ; pollMs = Math.min(POLL_MS_MAX, 1.5 * pollMs)) {
    signal.throwIfAborted();
    const lock = attempt();
    if (lock !== undefined) return lock;
    if (pollMs === POLL_MS_MIN) onWait?.();
    if (performance.now() >= untilMs) throw new ModelProblem('busy', `Another process holds ${path}. Try again later.`);
    await sleep(pollMs * (0.5 + Math.random()), undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
