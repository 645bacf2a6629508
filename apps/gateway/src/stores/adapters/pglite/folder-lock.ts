import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 100;
const SQLITE_BUSY = 5;

/** An open file that nobody refers to any more is closed by the garbage collector, and its lock is gone. */
const held = new Set<DatabaseSync>();

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
export async function lockFile(path: string, waitMs: number): Promise<void> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    if (tryLock(path)) return;
    if (performance.now() >= deadline) throw new FolderInUse(`${path} is locked by another process.`);
    await sleep(RETRY_MS);
  }
}

function tryLock(path: string): boolean {
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    // Nothing is ever written, so no file is needed to undo it.
    file.exec('pragma journal_mode = memory; begin exclusive');
    held.add(file);
    return true;
  } catch (error) {
    file.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
