import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealPostgres } from './real-postgres.ts';

const wanted = process.env.TEST_POSTGRES_URL !== undefined;
const STORES = new URL('../../apps/gateway/dist/stores/', import.meta.url).href;
const PROCESSES = 10;

/** What a gateway does at its start, and a word when it is done. */
const SCRIPT = `
  const [stores, url, folder] = process.argv.slice(1);
  const { PostgresDatabase } = await import(stores + 'adapters/postgres-database.js');
  const { MigratedDatabase } = await import(stores + 'migrated-database.js');
  const { readMigrations } = await import(stores + 'migration-files.js');
  const say = (...words) => process.stderr.write(JSON.stringify(words) + '\\n');
  const logger = { debug() {}, info: say, warn: say, error: say };
  const postgres = new PostgresDatabase({ url, connectionsMax: 2, timeoutMs: 20000 }, logger);
  const database = new MigratedDatabase(postgres, readMigrations(folder || undefined), logger);
  await database.query('select 1');
  process.stdout.write('done');
  await database.close();
`;

let postgres: RealPostgres;
let folder: string;
const started: ChildProcess[] = [];

function start(migrations = ''): ChildProcess {
  const args = ['--input-type=module', '-e', SCRIPT, STORES, postgres.url, migrations];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  return child;
}

async function outputOf(child: ChildProcess): Promise<{ output: string; applied: number }> {
  let output = '';
  let told = '';
  child.stdout?.on('data', (text: Buffer) => {
    output += text.toString();
  });
  child.stderr?.on('data', (text: Buffer) => {
    told += text.toString();
  });
  await once(child, 'close');
  return { output, applied: told.match(/the database has /g)?.length ?? 0 };
}

describe.skipIf(!wanted)(
  'gateways that start (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 120_000 },
  () => {
    beforeAll(async () => {
      postgres = await RealPostgres.start();
      folder = mkdtempSync(join(tmpdir(), 'millrace-migrations-'));
    });
    afterAll(async () => {
      for (const child of started) child.kill('SIGKILL');
      await postgres?.end();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    it('ten at once, leave every file applied once, and all of them serve', async () => {
      const outputs = await Promise.all(Array.from({ length: PROCESSES }, () => outputOf(start())));
      expect(outputs.map(({ output }) => output)).toEqual(Array(PROCESSES).fill('done'));
      const rows = await postgres.ask('select name from schema_migrations order by number');
      const applied = outputs.reduce((sum, each) => sum + each.applied, 0);
      expect(rows.length).toBeGreaterThanOrEqual(2);
      expect(applied).toBe(rows.length);
    });

    it('leave nothing half done when one is killed in the middle, and the next one goes on', async () => {
      await postgres.ask('drop schema public cascade');
      await postgres.ask('create schema public');
      writeFileSync(join(folder, '001_before.sql'), 'create table before (id int);');
      writeFileSync(
        join(folder, '002_slow.sql'),
        'create table half (id int); insert into half values (1); select pg_sleep(3); create table whole (id int);',
      );
      const killed = start(folder);
      const sleeping =
        "select count(*)::int as n from pg_stat_activity where state = 'active' and wait_event = 'PgSleep'";
      await expect.poll(() => postgres.ask(sleeping), { timeout: 30_000 }).toEqual([{ n: 1 }]);
      killed.kill('SIGKILL');
      await once(killed, 'close');
      expect(await postgres.ask("select to_regclass('half') as half")).toEqual([{ half: null }]);
      expect((await outputOf(start(folder))).output).toBe('done');
      expect(await postgres.ask('select name from schema_migrations order by number')).toEqual([
        { name: '001_before.sql' },
        { name: '002_slow.sql' },
      ]);
      expect(await postgres.ask('select count(*)::int as n from half, whole')).toEqual([{ n: 0 }]);
      expect(await postgres.ask('select count(*)::int as n from half')).toEqual([{ n: 1 }]);
    });

    it('wait for a table that somebody is using without holding up everybody else', async () => {
      writeFileSync(join(folder, '003_column.sql'), 'alter table half add column if not exists name text;');
      // For as long as the other one tries, however slowly it starts.
      const lock = postgres
        .ask('begin; lock table half in access share mode; select pg_sleep(100); commit')
        .catch(() => undefined);
      const holders = "select pid from pg_stat_activity where query like '%pg_sleep(100)%' and wait_event = 'PgSleep'";
      await expect.poll(() => postgres.ask(holders)).toHaveLength(1);
      expect((await outputOf(start(folder))).output).toBe('');
      await postgres.ask(`select pg_terminate_backend(pid) from (${holders}) as holders`);
      await lock;
      expect((await outputOf(start(folder))).output).toBe('done');
      expect(await postgres.ask('select name from half')).toEqual([{ name: null }]);
    });
  },
);
