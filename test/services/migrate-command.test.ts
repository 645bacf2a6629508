import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealPostgres } from './real-postgres.ts';

const wanted = process.env.TEST_POSTGRES_URL !== undefined;
const MILLRACE = resolve(import.meta.dirname, '../../apps/cli/dist/main.js');

let postgres: RealPostgres;
const started: ChildProcess[] = [];

/** `millrace migrate` as a Job and an init container of Kubernetes run it. */
function migrate(...flags: string[]): Promise<{ readonly status: number | null; readonly said: string }> {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [MILLRACE, 'migrate', ...flags], {
    env: { PATH, MILLRACE_POSTGRES_URL: postgres.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      said += text.toString();
    });
  }
  return once(child, 'close').then(([status]) => ({ status: status as number | null, said }));
}

const tables = async () => (await postgres.ask("select to_regclass('keys') is not null as there"))[0];

describe.skipIf(!wanted)(
  'millrace migrate (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 120_000 },
  () => {
    beforeAll(async () => {
      postgres = await RealPostgres.start();
    });
    afterAll(async () => {
      for (const child of started) child.kill('SIGKILL');
      await postgres?.end();
    });

    it('--check changes nothing, and says which tables it waited for', async () => {
      const { status, said } = await migrate('--check', '--timeout-ms', '500');
      expect(said).toMatch(/The database does not have 001_keys\.sql, .* yet\. Gave up after 0\.5 s\.\n$/);
      expect(said).not.toMatch(/^\s+at /m);
      expect(status).toBe(1);
      expect(await tables()).toEqual({ there: false });
    });

    it('--check goes on waiting until another has set them up', async () => {
      const waiting = migrate('--check', '--timeout-ms', '60000');
      const both = await Promise.all([migrate(), migrate()]);
      expect(both.map(({ status }) => status)).toEqual([0, 0]);
      expect((await waiting).status).toBe(0);
      expect(await tables()).toEqual({ there: true });
    });

    it('has nothing to do the second time', async () => {
      const { status, said } = await migrate();
      expect(status).toBe(0);
      expect(said).not.toContain('the database has 001_keys.sql now');
      expect(said).toContain('the database has all tables that this version needs');
    });

    it('says at once that the database was set up with other files', async () => {
      await postgres.ask("update schema_migrations set sha256 = 'another' where number = 1");
      const { status, said } = await migrate('--check', '--timeout-ms', '60000');
      expect(status).toBe(1);
      expect(said).toContain('001_keys.sql is not what this database was set up with');
    });
  },
);
