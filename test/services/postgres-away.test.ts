import { once } from 'node:events';
import { createServer } from 'node:net';
import { createLogger } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../apps/gateway/src/stores/adapters/postgres-database.js';
import { DatabaseUnavailable } from '../../apps/gateway/src/stores/sql-database.js';
import { RealPostgres } from './real-postgres.ts';

const wanted = process.env.TEST_POSTGRES_URL !== undefined;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const TIMEOUT_MS = 1_000;
const BACK = { timeout: 20_000 };

let postgres: RealPostgres;
const opened: PostgresDatabase[] = [];

function open(url = postgres.url, connectionsMax = 4): PostgresDatabase {
  const database = new PostgresDatabase({ url, connectionsMax, timeoutMs: TIMEOUT_MS }, logger);
  opened.push(database);
  return database;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
});

async function expectAway(database: PostgresDatabase, why: RegExp): Promise<void> {
  await expect(database.query('select 1')).rejects.toThrow(DatabaseUnavailable);
  expect(database.trouble).toMatch(why);
  // The password stands in the URL alone.
  expect(database.trouble).not.toContain(new URL(postgres.url).password);
}

async function expectBack(database: PostgresDatabase): Promise<void> {
  await expect.poll(() => database.query('select 1 as n').catch(String), BACK).toEqual([{ n: 1 }]);
  expect(database.trouble).toBeUndefined();
}

/** A server of its own: one that others use can't be taken away. */
describe.skipIf(!wanted)(
  'a Postgres that goes (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 90_000 },
  () => {
    beforeAll(async () => {
      postgres = await RealPostgres.start();
      await postgres.ask('create table rows (id bigint primary key)');
    });
    afterAll(() => postgres?.end());

    it('is away when it is stopped, and there again when it is back', async () => {
      const database = open();
      await database.query('select 1');
      await postgres.stop();
      await expectAway(database, /nothing listens there|shutting down|broke/);
      await postgres.start();
      await expectBack(database);
    });

    it('is away when it is killed, also in a transaction, which leaves nothing', async () => {
      const database = open();
      const work = database.transaction(async (query) => {
        await query('insert into rows values (1)');
        await postgres.kill();
        await query('insert into rows values (2)');
      });
      await expect(work).rejects.toThrow(DatabaseUnavailable);
      await postgres.start();
      await expectBack(database);
      expect(await database.query('select id from rows')).toEqual([]);
    });

    it('keeps a transaction’s own error when its connection broke meanwhile', async () => {
      const database = open();
      const work = database.transaction(async (query) => {
        const [row] = await query<{ pid: number }>('select pg_backend_pid() as pid');
        await postgres.ask(`select pg_terminate_backend(${row?.pid})`);
        throw new Error('of its own');
      });
      await expect(work).rejects.toThrow(/of its own|can not be asked/);
      await expectBack(database);
    });

    it('is away while it hangs, for statements and for those that wait for a connection, and there again afterwards', async () => {
      const database = open(postgres.url, 1);
      await database.query('select 1');
      postgres.freeze();
      try {
        const asked = [1, 2, 3].map((n) => database.query('select $1::int as n', [n]));
        const answers = await Promise.all(asked.map((answer) => answer.catch((error: unknown) => error)));
        for (const answer of answers) expect(answer).toBeInstanceOf(DatabaseUnavailable);
        expect(database.trouble).toMatch(/did not answer within 1,000 ms \(sqlTimeoutMs\)/);
      } finally {
        postgres.thaw();
      }
      await expectBack(database);
    });

    it('is not disturbed by a connection that ends while nobody uses it', async () => {
      const database = open(postgres.url, 1);
      const [row] = await database.query<{ pid: number }>('select pg_backend_pid() as pid');
      await postgres.ask(`select pg_terminate_backend(${row?.pid})`);
      await expectBack(database);
    });

    it('leaves no statement running on the server once it was given up', async () => {
      const database = open();
      await expect(database.query('select pg_sleep(30)')).rejects.toThrow(DatabaseUnavailable);
      const running =
        "select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(30)' and state = 'active'";
      await expect.poll(() => postgres.ask(running), BACK).toEqual([{ n: 0 }]);
    });

    it('opens no more connections than it may, under its own name', async () => {
      const database = open(postgres.url, 2);
      await Promise.all(Array.from({ length: 20 }, () => database.query('select pg_sleep(0.01)')));
      const named = "select count(*)::int as n from pg_stat_activity where application_name = 'millrace-gateway'";
      const [row] = (await postgres.ask(named)) as { n: number }[];
      expect(row?.n).toBeGreaterThan(0);
      expect(row?.n).toBeLessThanOrEqual(2);
    });

    it('lets only so many statements wait', async () => {
      const database = open(postgres.url, 1);
      await database.query('select 1');
      const asked = Array.from({ length: 1_100 }, () => database.query('select 1').then(() => 'answered', String));
      const answers = await Promise.all(asked);
      // Whoever may wait is answered, or told that its time was up: how many depends on the machine.
      expect(answers.filter((answer) => answer.includes('no more may wait'))).toHaveLength(100);
      expect(answers.filter((answer) => answer === 'answered').length).toBeGreaterThan(0);
    });

    it('is away for a user with no connections left, for an unknown database, and while it can only be read', async () => {
      await postgres.ask('create role narrow login connection limit 0');
      await expectAway(open(postgres.url.replace('//millrace:', '//narrow:')), /as many clients|too many connections/);
      await expectAway(open(postgres.url.replace(/\/millrace$/, '/nowhere')), /database "nowhere" does not exist/);
      const replica = open(`${postgres.url}?options=-c%20default_transaction_read_only%3Don`);
      await expect(replica.query('insert into rows values (9)')).rejects.toThrow(/replica that can only be read/);
    });

    it('is away where nothing listens, where nothing is said, and where something else is', async () => {
      await expectAway(open('postgres://millrace:pass-word-of-tests@127.0.0.1:1/millrace'), /nothing listens there/);
      const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
      const web = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
      web.listen(0, '127.0.0.1');
      await Promise.all([once(silent, 'listening'), once(web, 'listening')]);
      const urlOf = (server: typeof web) =>
        `postgres://a:pass-word-of-tests@127.0.0.1:${(server.address() as { port: number }).port}/a`;
      try {
        await expectAway(open(urlOf(silent)), /did not answer within/);
        await expectAway(open(urlOf(web)), /can not be asked/);
      } finally {
        silent.close();
        web.close();
      }
    });
  },
);

describe('a URL that is none', () => {
  it('is refused without being quoted', () => {
    for (const url of ['postgres//me:secret@host', 'mysql://me:secret@host/db', 'http://secret', 'secret']) {
      expect(() => open(url)).toThrow(/postgresUrl is no URL of a Postgres/);
      expect(() => open(url)).not.toThrow(/secret/);
    }
  });
});
