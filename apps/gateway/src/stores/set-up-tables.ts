import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { MigratedDatabase, pendingIn } from './migrated-database.js';
import type { Migration } from './migration-files.js';
import { DatabaseUnavailable, type SqlDatabase } from './sql-database.js';

/** Between two looks. */
const LOOK_INTERVAL_MS = 500;

/**
 * Applies what is missing, and resolves when nothing is: what a gateway does at its start, by itself. Closes the database.
 *
 * @throws ConfigurationError that says what is in the way after `timeoutMs`; or what `signal` was aborted with.
 */
export async function setUpTables(
  database: SqlDatabase,
  migrations: readonly Migration[],
  timeoutMs: number,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const migrated = new MigratedDatabase(database, migrations, logger);
  try {
    await untilFine(async () => migrated.trouble, timeoutMs, signal);
  } finally {
    await migrated.close();
  }
}

/**
 * Changes nothing, and resolves when the database has all tables that this version needs. Closes the database.
 *
 * @throws ConfigurationError as `setUpTables`, or at once when the database was set up with other files.
 */
export async function waitForTables(
  database: SqlDatabase,
  migrations: readonly Migration[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  // A file that needs an extension is passed over where that is not to be had, and nobody knows here whether it is.
  const needed = migrations.filter(({ extension }) => extension === undefined);
  const missing = async () => {
    try {
      const pending = await pendingIn(database.query.bind(database), needed);
      if (pending.length === 0) return undefined;
      return `The database does not have ${pending.map(({ name }) => name).join(', ')} yet.`;
    } catch (error) {
      if (error instanceof DatabaseUnavailable) return error.message;
      // Such as files that are not what it was set up with.
      throw new ConfigurationError([error instanceof Error ? error.message : String(error)]);
    }
  };
  try {
    await untilFine(missing, timeoutMs, signal);
  } finally {
    await database.close();
  }
}

async function untilFine(
  look: () => Promise<string | undefined>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const giveUpMs = performance.now() + timeoutMs;
  for (;;) {
    const trouble = await look();
    if (trouble === undefined) return;
    if (performance.now() > giveUpMs)
      throw new ConfigurationError([`${trouble} Gave up after ${timeoutMs / 1_000} s.`]);
    await sleep(LOOK_INTERVAL_MS, undefined, { signal });
  }
}
