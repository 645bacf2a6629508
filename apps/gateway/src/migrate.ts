import type { Settings } from '@millrace/contracts';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { openTls } from './open-tls.js';
import { PostgresDatabase } from './stores/adapters/postgres-database.js';
import { readMigrations } from './stores/migration-files.js';
import { setUpTables, waitForTables } from './stores/set-up-tables.js';

/**
 * `millrace migrate`: the tables of `postgresUrl`, without a gateway. With `check` it only waits for them.
 *
 * @throws ConfigurationError without a `postgresUrl`, or when they are not there after `timeoutMs`.
 */
export async function migrate(
  settings: Settings,
  { check, timeoutMs }: { readonly check: boolean; readonly timeoutMs: number },
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { postgresUrl: url, sqlTimeoutMs } = settings;
  if (url === undefined) {
    throw new ConfigurationError([
      'There is no `postgresUrl`, and so no tables to set up: a gateway makes those of its embedded database itself, at its start.',
    ]);
  }
  const tls = await openTls(settings, logger);
  try {
    const options = { url, connectionsMax: 1, timeoutMs: sqlTimeoutMs, tls: tls.postgres };
    const database = new PostgresDatabase(options, logger);
    if (check) await waitForTables(database, readMigrations(), timeoutMs, signal);
    else await setUpTables(database, readMigrations(), timeoutMs, logger, signal);
    logger.info('the database has all tables that this version needs');
  } finally {
    tls.close();
  }
}
