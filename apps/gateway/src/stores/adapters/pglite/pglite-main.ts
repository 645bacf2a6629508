import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { dataDir } from '@electric-sql/pglite-prepopulatedfs';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { onParentGone } from '@millrace/runtime';
import { DiskFiles } from './disk-files.js';
import { FolderInUse, lockFile } from './folder-lock.js';
import type { PgliteNews, PgliteOrder, PgliteStart } from './pglite-wire.js';

/**
 * The entry of the embedded database's process: opens the folder, serves it on a socket, and ends with the gateway.
 *
 * What was committed is on the disk: neither the death of this process nor that of the machine costs it.
 */

/** Old connections may not have been noticed as closed when the next one comes. */
const CONNECTIONS_MAX = 8;
/** For the last checkpoint; without it the next start reads the log, and loses nothing either. */
const CLOSE_MS = 3_000;

/** Sized for keys and records. Postgres's own defaults are for a server, and would hold 128 MiB of pages here. */
const SETTINGS = [
  'fsync=on',
  'wal_sync_method=fsync',
  'shared_buffers=16MB',
  'wal_buffers=1MB',
  'min_wal_size=32MB',
  'max_wal_size=64MB',
];

/** Of the thread that watches the parent, which does next to nothing. */
const WATCH_HEAP_MIB_MAX = 8;

const start = JSON.parse(process.argv[2] ?? '{}') as PgliteStart;
let database: PGlite | undefined;
let isServing = false;
let isEnding = false;
let lastComplaint: string | undefined;

process.on('message', (order: PgliteOrder) => {
  if (order.kind === 'ping') tell({ kind: 'alive' });
  else void end();
});
onParentGone(() => {
  // The gateway's own to take away, but it can't any more.
  rmSync(dirname(start.socketPath), { recursive: true, force: true });
  void end();
});
new Worker(new URL('./parent-watch.js', import.meta.url), {
  workerData: { parentPid: process.ppid, graceMs: CLOSE_MS },
  resourceLimits: { maxOldGenerationSizeMb: WATCH_HEAP_MIB_MAX },
}).unref();
// Ctrl-C reaches the whole group of processes; the gateway still has records to write, and ends this one.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);

try {
  mkdirSync(dirname(start.folder), { recursive: true, mode: 0o700 });
  await lockFile(`${start.folder}.lock`, start.lockWaitMs);
  database = await open(start.folder);
  await serve(database, start.socketPath);
  isServing = true;
  tell({ kind: 'ready' });
} catch (error) {
  process.send?.({ kind: 'failed', sentence: sentenceOf(error) } satisfies PgliteNews, () => process.exit(1));
}

async function open(folder: string): Promise<PGlite> {
  // What is found beside this mark was left by a first start that did not come to its end, and holds nothing yet.
  const unfinished = `${folder}.unfinished`;
  const isFirst = existsSync(unfinished) || isEmpty(folder);
  if (isFirst) {
    writeFileSync(unfinished, '');
    rmSync(folder, { recursive: true, force: true });
  } else if (!existsSync(join(folder, 'PG_VERSION'))) {
    throw new Error('it has files, but no PG_VERSION among them, so it is no database or a damaged one');
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const files = new DiskFiles(folder, { memoryMibMax: start.memoryMibMax, isNew: isFirst, failed });
  const opened = await PGlite.create({
    fs: files,
    // Unpacked at each start, and created by a migration: 50 KB, without which a database that has vectors could not be opened.
    extensions: { vector },
    ...(isFirst && { loadDataDir: await dataDir() }),
    // "-F" is Postgres's word for "fsync off".
    startParams: [
      ...PGlite.defaultStartParams.filter((flag) => flag !== '-F'),
      ...SETTINGS.flatMap((setting) => ['-c', setting]),
    ],
    onStderr: (text) => {
      hear(text);
      return true;
    },
  });
  if (isFirst) files.syncAll();
  rmSync(unfinished, { force: true });
  return opened;
}

function isEmpty(folder: string): boolean {
  return !existsSync(folder) || readdirSync(folder).length === 0;
}

async function serve(opened: PGlite, path: string): Promise<void> {
  rmSync(path, { force: true });
  const ask = opened.execProtocolRawStream.bind(opened);
  // What Postgres refuses is an answer. What is thrown is the end of the engine, after which the server would hang.
  opened.execProtocolRawStream = (message, options) => ask(message, options).catch(die);
  await new PGLiteSocketServer({ db: opened, path, maxConnections: CONNECTIONS_MAX }).start();
}

/** While it starts, what goes wrong is told by `open`; afterwards nobody would. */
function failed(why: unknown): never {
  if (!isServing) throw why;
  die(why);
}

function die(why: unknown): never {
  process.stderr.write(`${why instanceof Error ? why.stack : String(why)}\n`);
  process.exit(1);
}

async function end(): Promise<void> {
  if (isEnding) return;
  isEnding = true;
  setTimeout(() => process.exit(1), CLOSE_MS).unref();
  await database?.close().catch(() => undefined);
  rmSync(start.socketPath, { force: true });
  process.exit(0);
}

function sentenceOf(error: unknown): string {
  if (error instanceof FolderInUse) {
    return `The embedded database in ${start.folder} is in use by another gateway. Give this one a folder of its own (--data-folder), or let both share a Postgres server (--postgres-url).`;
  }
  const why = lastComplaint ?? (error instanceof Error ? error.message : String(error));
  return `The embedded database in ${start.folder} can not be opened: ${why.replace(/\.$/, '')}. Put that folder back from a backup, or move it away to begin with an empty one.`;
}

/** What Postgres itself says of its end is clearer than what PGlite makes of it. */
function hear(text: string): void {
  const said = /(FATAL|PANIC|DETAIL):\s+(.*?)\.?$/m.exec(text);
  if (said?.[1] === 'DETAIL') lastComplaint = lastComplaint && `${lastComplaint}. ${said[2]}`;
  else if (said !== null) lastComplaint = said[2];
  process.stderr.write(`${text}\n`);
}

function tell(news: PgliteNews): void {
  if (process.connected) process.send?.(news);
}
