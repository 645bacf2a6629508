import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 100;

/** The file is locked by another process, and was so for as long as we waited. */
export class FolderInUse extends Error {
  override readonly name = 'FolderInUse';
}

/**
 * Takes the lock of a file until this process ends, however it ends: the kernel lets go of it.
 *
 * SQLite's locks are those of the kernel, which Node itself doesn't offer. A file with a process id would outlive its process,
 * the id may be another's by then, and two who find it stale at once may both take it over.
 *
 * @throws FolderInUse after `waitMs`: so long may a process that is ending take to be gone.
 */
export async function lockFile(path: string, waitMs: number): Promise<Disposable> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock !== undefined) return lock;
    if (performance.now() >= deadline) throw new FolderInUse(`${path} is locked by another process.`);
    await sleep(RETRY_MS);
  }
}

function tryLock(path: string): Disposable | undefined {
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    file.exec('begin exclusive');
    return { [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    const SQLITE_BUSY = 5;
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}
