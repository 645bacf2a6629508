import { createServer, type Server, type Socket } from 'node:net';
import type { ReadyzBody } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { checkStores } from './check-stores.js';

const READY: ReadyzBody = { status: 'ready', capabilities: {} };

let servers: Server[] = [];
let sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  servers = [];
  sockets = [];
});

/** A server that says `answer` to whatever comes, and its address. */
async function serverThatSays(answer: (heard: string) => string): Promise<string> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => socket.write(answer(data.toString('latin1'))));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

const redis = async (redisUrl?: string) =>
  (await checkStores({ redisUrl, postgresUrl: undefined, dataFolder: 'data' }, undefined))[0]!;
const database = async (postgresUrl?: string) =>
  (await checkStores({ redisUrl: undefined, postgresUrl, dataFolder: 'data' }, undefined))[1]!;

/** Redis as far as a check speaks to it. */
const redisWith = (password: string) => (heard: string) => {
  if (password === '') return '+PONG\r\n';
  if (!heard.includes('AUTH')) return '-NOAUTH Authentication required.\r\n';
  const isRight = heard.includes(`\r\n${password}\r\n`);
  return isRight ? '+OK\r\n+PONG\r\n' : '-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH\r\n';
};

describe('without a gateway that runs', () => {
  it('says what takes the place of Redis and Postgres where neither is set', async () => {
    expect(await redis()).toMatchObject({ ok: true, detail: 'none: each gateway counts limits by itself' });
    expect(await database()).toMatchObject({ ok: true, detail: 'the embedded one, in data: for one gateway alone' });
  });

  it('finds a Redis and a Postgres that answer', async () => {
    const address = await serverThatSays(redisWith('p@ss'));
    expect(await redis(`redis://:p%40ss@${address}/0`)).toEqual({
      about: 'redis',
      ok: true,
      detail: `${address} answers`,
    });
    expect(await redis(`redis://${await serverThatSays(redisWith(''))}`)).toMatchObject({ ok: true });
    const postgres = await serverThatSays((heard) => (heard.length === 8 ? 'N' : '?'));
    expect(await database(`postgres://millrace:secret@${postgres}/millrace`)).toMatchObject({
      ok: true,
      detail: `${postgres} answers; whether user and password are right, a gateway finds out`,
    });
  });

  it('says that Redis wants another password, and no password', async () => {
    const address = await serverThatSays(redisWith('right'));
    const wrongOne = await redis(`redis://user:left@${address}`);
    expect(wrongOne).toMatchObject({ ok: false, remedy: 'Start it, or correct `redisUrl`.' });
    expect(wrongOne.detail).toMatch(/refuses: WRONGPASS/);
    expect((await redis(`redis://${address}`)).detail).toMatch(/refuses: NOAUTH/);
    const quoting = await serverThatSays(() => "-ERR unknown command 'AUTH', with args: 's3cret'\r\n");
    expect((await redis(`redis://:s3cret@${quoting}`)).detail).toBe(
      `${quoting} refuses: ERR unknown command 'AUTH', with args: '***'`,
    );
  });

  it('says that nothing listens there', async () => {
    expect(await redis('redis://:s3cret@127.0.0.1:1')).toEqual({
      about: 'redis',
      ok: false,
      detail: "127.0.0.1:1 can't be reached (ECONNREFUSED).",
      remedy: 'Start it, or correct `redisUrl`.',
    });
    const found = await database('postgres://user:s3cret@127.0.0.1:1/name');
    expect(found).toMatchObject({ ok: false, detail: "127.0.0.1:1 can't be reached (ECONNREFUSED)." });
  });

  it('looks for a socket where the URL names its folder', async () => {
    const found = await database('postgres:///millrace?host=/nowhere/at%20all');
    expect(found).toMatchObject({ ok: false, detail: "/nowhere/at all/.s.PGSQL.5432 can't be reached (ENOENT)." });
  });

  it('tells another kind of server, and one that says nothing', async () => {
    const web = await serverThatSays(() => 'HTTP/1.1 400 Bad Request\r\n\r\n');
    expect((await redis(`redis://${web}`)).detail).toBe(`${web} is no Redis: it answers otherwise than one.`);
    expect((await database(`postgres://${web}/x`)).detail).toBe(
      `${web} is no Postgres: it answers otherwise than one.`,
    );
    const silent = await serverThatSays(() => '');
    expect((await database(`postgres://${silent}/x`)).detail).toBe(`${silent} does not answer within 3,000 ms.`);
  });

  it('never quotes a URL that is none', async () => {
    for (const found of [await redis('reddis://:s3cret@host'), await database('host=x password=s3cret')]) {
      expect(found.ok).toBe(false);
      expect(JSON.stringify(found)).not.toContain('s3cret');
    }
  });
});

describe('with one', () => {
  const settings = { redisUrl: 'redis://127.0.0.1:1', postgresUrl: undefined, dataFolder: 'data' };

  it('believes it, which may reach what this machine does not', async () => {
    expect((await checkStores(settings, READY)).map(({ ok }) => ok)).toEqual([true]);
  });

  it('has a line for each part that it misses', async () => {
    const detail = "Redis at redis://10.0.0.9:6379 can't be reached (ECONNREFUSED).";
    const degraded = [{ part: 'redis' as const, detail }];
    expect(await checkStores(settings, { ...READY, degraded })).toEqual([
      { about: 'redis', ok: false, detail, remedy: 'Start it, or correct the `redisUrl` of the gateway.' },
    ]);
  });
});

const REDIS = process.env.TEST_REDIS_URL;
const POSTGRES = process.env.TEST_POSTGRES_URL;
describe.skipIf(REDIS === undefined || POSTGRES === undefined)('with TEST_REDIS_URL and TEST_POSTGRES_URL', () => {
  it('finds the real ones', async () => {
    const found = await checkStores({ redisUrl: REDIS, postgresUrl: POSTGRES, dataFolder: 'data' }, undefined);
    expect(found.filter(({ ok }) => !ok)).toEqual([]);
  });
});
