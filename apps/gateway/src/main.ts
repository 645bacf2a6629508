import { MIGRATE_FLAGS } from '@millrace/contracts';
import {
  ConfigurationError,
  createLogger,
  describeSettings,
  endOnFatalErrors,
  loadSettings,
  tellParent,
  terminationRequested,
  warnOfSecretFlags,
} from '@millrace/runtime';
import { migrate } from './migrate.js';
import { startGateway } from './start-gateway.js';

/** The gateway's process: settings, start, and an end within `drainDelayMs` and `drainTimeoutMs` of being asked for it. */
async function main(): Promise<void> {
  const loaded = loadSettings({
    reader: 'gateway',
    args: process.argv.slice(2),
    environment: process.env,
    workingFolder: process.cwd(),
  });
  const { settings } = loaded;
  const logger = createLogger({ name: 'gateway', level: settings.logLevel, format: settings.logFormat });
  endOnFatalErrors(logger);
  logger.info({ settings: describeSettings(loaded) }, 'settings that differ from the defaults');
  warnOfSecretFlags(loaded, logger);

  const gateway = await startGateway(settings, logger, loaded.variables);
  logger.info({ host: settings.host, port: gateway.port, workers: settings.workers }, 'listening');
  await tellParent({ kind: 'listening', port: gateway.port });

  const why = await Promise.race([terminationRequested(), gateway.broken]);
  const { drainDelayMs, drainTimeoutMs } = settings;
  logger.info({ why, drainDelayMs, drainTimeoutMs }, 'stopping: running answers may finish');
  await gateway.drain();
  logger.info('stopped');
}

/** `millrace migrate`: the same settings, and no gateway. */
async function migrateOnly(args: readonly string[]): Promise<void> {
  const loaded = loadSettings({
    reader: 'gateway',
    args,
    environment: process.env,
    workingFolder: process.cwd(),
    own: MIGRATE_FLAGS,
  });
  const { settings, own } = loaded;
  const logger = createLogger({ name: 'migrate', level: settings.logLevel, format: settings.logFormat });
  warnOfSecretFlags(loaded, logger);
  const stopping = new AbortController();
  void terminationRequested().then((why) => stopping.abort(new Error(`Stopped before it was done (${why}).`)));
  await migrate(settings, own, logger, stopping.signal);
}

/** One plain sentence for what the user can mend; the whole error for what is ours. */
function explain(error: unknown): string {
  if (error instanceof ConfigurationError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  if (code === 'EADDRINUSE') return `Port ${port} is in use. Stop what listens there, or choose another with --port.`;
  if (code === 'EACCES') return `Port ${port} may not be opened by this user. Choose one above 1023 with --port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return 'This machine has no such address. Correct --host.';
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const [word, ...words] = process.argv.slice(2);
(word === 'migrate' ? migrateOnly(words) : main()).then(
  // Also ends what a library may still hold, such as the exporter's timers.
  () => process.exit(0),
  async (error: unknown) => {
    const sentence = explain(error);
    // `millrace serve` says it; nobody else would.
    if (!(await tellParent({ kind: 'failed', sentence }))) process.stderr.write(`${sentence}\n`);
    process.exit(1);
  },
);
