import { open } from 'node:fs/promises';

/** A machine that loses its power takes what was written within twice this time with it. */
export const SYNC_MS = 1_000;

/**
 * Files that were written to, and that the disk may not have yet. Only those that stay are worth a sync: while the database takes
 * records, none is there for `SYNC_MS`, and the disk is never waited for.
 */
export class UnsyncedFiles {
  readonly #sinceMs = new Map<string, number>();
  #isSyncing = false;

  constructor(private readonly sync: (path: string) => Promise<void> = syncFile) {}

  wrote(path: string): void {
    if (!this.#sinceMs.has(path)) this.#sinceMs.set(path, performance.now());
  }

  forget(path: string): void {
    this.#sinceMs.delete(path);
  }

  /** Those first written to so long ago, one after another. Never fails: a disk that is at fault shows when it is written to. */
  async syncOlderThan(ms: number): Promise<void> {
    // A disk that hangs must not gather those who wait for it.
    if (this.#isSyncing) return;
    this.#isSyncing = true;
    const untilMs = performance.now() - ms;
    for (const [path, sinceMs] of [...this.#sinceMs]) {
      // Forgotten before it is synced: what is written meanwhile is unsynced again.
      if (sinceMs <= untilMs && this.#sinceMs.delete(path)) await this.sync(path).catch(() => undefined);
    }
    this.#isSyncing = false;
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
