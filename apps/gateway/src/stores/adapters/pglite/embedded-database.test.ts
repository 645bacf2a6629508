import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, createLogger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { migratedDatabaseContract } from '../../migrated-database.contract.js';
import { sqlDatabaseContract } from '../../sql-database.contract.js';
import { DatabaseUnavailable } from '../../sql-database.js';
import { EmbeddedDatabase, type EmbeddedOptions } from './embedded-database.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const folders: string[] = [];
const opened: EmbeddedDatabase[] = [];

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
  folders.push(folder);
  return folder;
}

function open(dataFolder: string, options: Partial<EmbeddedOptions> = {}): EmbeddedDatabase {
  const database = new EmbeddedDatabase({ dataFolder, timeoutMs: 5_000, ...options }, logger);
  opened.push(database);
  return database;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A process that ended and that nobody asked about yet still has its number. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

// A start takes a second of a core, and many times as long on a machine that has other things to do.
const PATIENCE = { timeout: 120_000 };

function forGood(timeoutMs: number): EmbeddedDatabase {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
  process.once('exit', () => rmSync(dataFolder, { recursive: true, force: true }));
  return new EmbeddedDatabase({ dataFolder, timeoutMs }, logger);
}

describe('the embedded database', PATIENCE, () => {
  sqlDatabaseContract(async () => forGood(1_000));

  migratedDatabaseContract(
    async () => forGood(5_000),
    async (database) => {
      await database.query('drop schema public cascade; create schema public');
    },
  );
});

describe('the process of the embedded database', PATIENCE, () => {
  it('costs nothing that was answered when it is killed, undoes what was under way, and comes back', async () => {
    const database = open(newFolder());
    await database.query('create table rows (id bigint primary key)');
    const answered: number[] = [];
    const { pid } = database;
    setTimeout(() => process.kill(pid!, 'SIGKILL'), 150);
    // Until it is gone: the row that was under way may or may not be there.
    for (let id = 0; database.pid === pid; id++) {
      const failure = await database.query('insert into rows values ($1)', [id]).catch((error: unknown) => error);
      if (Array.isArray(failure)) answered.push(id);
      else expect(failure).toBeInstanceOf(DatabaseUnavailable);
    }
    const rows = await database.query<{ id: number }>('select id from rows');
    const there = new Set(rows.map(({ id }) => id));
    expect(answered.filter((id) => !there.has(id))).toEqual([]);
    expect(answered.length).toBeGreaterThan(0);
    expect(database.trouble).toBeUndefined();

    const work = database.transaction(async (query) => {
      await query('insert into rows values (-1)');
      process.kill(database.pid!, 'SIGKILL');
      await query('insert into rows values (-2)');
    });
    await expect(work).rejects.toBeInstanceOf(DatabaseUnavailable);
    const halves = () => database.query('select id from rows where id < 0').catch(String);
    await expect.poll(halves, { timeout: 60_000 }).toEqual([]);
  });

  it('is ended when a statement would go on for ever, but not for one that wants too much memory', async () => {
    const database = open(newFolder(), { timeoutMs: 2_000 });
    await database.query('select 1');
    const { pid } = database;
    const huge = database.query("select length(repeat('x', 1000000000))");
    await expect(huge).rejects.toBeInstanceOf(DatabaseUnavailable);
    expect(await database.query('select 1 as n')).toEqual([{ n: 1 }]);
    expect(database.pid).toBe(pid);
    const endless = database.query('select count(*) from generate_series(1, 1000000000000)');
    await expect(endless).rejects.toBeInstanceOf(DatabaseUnavailable);
    const answer = () => database.query('select 2 as n').catch(String);
    await expect.poll(answer, { timeout: 60_000 }).toEqual([{ n: 2 }]);
    expect(isAlive(pid!)).toBe(false);
  });

  it('ends with its gateway, even if that is killed while a statement goes on for ever, and the next gateway finds what was written', async () => {
    const folder = newFolder();
    const module = new URL('../../../../dist/stores/adapters/pglite/embedded-database.js', import.meta.url).href;
    const gateway = spawn(process.execPath, ['--input-type=module', '-e', GATEWAY, module, folder]);
    const [line] = (await once(gateway.stdout, 'data')) as [Buffer];
    const child = Number(line.toString());
    expect(isAlive(child)).toBe(true);
    gateway.kill('SIGKILL');
    await once(gateway, 'exit');
    const database = open(folder);
    expect(await database.query('select id from rows')).toEqual([{ id: 1 }]);
    expect(isAlive(child)).toBe(false);
  });

  it('lets nobody else at the folder: a second gateway is told what to do, and may have it afterwards', async () => {
    const folder = newFolder();
    const first = open(folder);
    await first.query('create table rows (id bigint primary key)');
    const second = open(folder, { lockWaitMs: 200 });
    const failure = await second.opened().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigurationError);
    expect((failure as Error).message).toMatch(/in use by another gateway.*--data-folder.*--postgres-url/);
    expect(second.trouble).toContain('in use by another gateway');
    expect(await first.query('select id from rows')).toEqual([]);
    await first.close();
    const answer = () => second.query('select id from rows').catch(String);
    await expect.poll(answer, { timeout: 60_000 }).toEqual([]);
  });

  it('says what is wrong with a damaged folder, and serves once that is put right, wherever it was moved to', async () => {
    const folder = newFolder();
    const before = open(join(folder, 'one'));
    await before.query('create table rows (id bigint primary key)');
    await before.close();
    renameSync(join(folder, 'one'), join(folder, 'two'));
    const control = join(folder, 'two/postgres/global/pg_control');
    const whole = readFileSync(control);
    writeFileSync(control, Buffer.alloc(whole.length, 0x55));
    const damaged = open(join(folder, 'two'));
    const failure = await damaged.opened().catch((error: unknown) => error as Error);
    expect(failure).toBeInstanceOf(ConfigurationError);
    expect(failure?.message).toMatch(/can not be opened: database files are incompatible.*backup/);
    expect(damaged.trouble).toContain('can not be opened');
    writeFileSync(control, whole);
    const answer = () => damaged.query('select id from rows').catch(String);
    await expect.poll(answer, { timeout: 60_000 }).toEqual([]);
  });

  it('touches no folder that is not empty and holds no database', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'postgres'));
    writeFileSync(join(folder, 'postgres/thesis.txt'), 'precious');
    const database = open(folder);
    await expect(database.opened()).rejects.toThrow('PG_VERSION');
    expect(readFileSync(join(folder, 'postgres/thesis.txt'), 'utf8')).toBe('precious');
  });

  it('begins anew where a first start was cut short, answers who asked early, and keeps its files to their owner', async () => {
    const folder = join(newFolder(), 'of-any-length'.repeat(10), 'b'.repeat(120));
    mkdirSync(join(folder, 'postgres'), { recursive: true, mode: 0o755 });
    writeFileSync(join(folder, 'postgres/PG_VERSION'), '18\n');
    writeFileSync(join(folder, 'postgres.unfinished'), '');
    const early = open(folder);
    const asked = Promise.all([early.query('select 1 as n'), early.transaction((query) => query('select 2 as n'))]);
    expect(await asked).toEqual([[{ n: 1 }], [{ n: 2 }]]);
    expect(statSync(join(folder, 'postgres')).mode & 0o777).toBe(0o700);
  });

  it('refuses who still waits for its start when it is closed', async () => {
    const database = open(newFolder());
    const refused = expect(database.query('select 1')).rejects.toThrow('closed');
    await database.close();
    await refused;
  });
});

const GATEWAY = `
  const { EmbeddedDatabase } = await import(process.argv[1]);
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const database = new EmbeddedDatabase({ dataFolder: process.argv[2], timeoutMs: 600000 }, logger);
  await database.query('create table rows (id bigint primary key)');
  await database.query('insert into rows values (1)');
  database.query('select count(*) from generate_series(1, 1000000000000)');
  setTimeout(() => console.log(database.pid), 200);
  setInterval(() => undefined, 1000);
`;
