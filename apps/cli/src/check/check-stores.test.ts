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

/** An S3 server as far as a check speaks to it: the bucket is there, and nothing in it. */
function createBucket(): Promise<string> {
  return serverThatSays((heard) =>
    heard.startsWith('HEAD /files/millrace/files/millrace-check ')
      ? 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'
      : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  ).then((address) => `http://${address}`);
}

const NO_BUCKET = {
  s3Url: undefined,
  s3Bucket: undefined,
  s3Prefix: 'millrace',
  s3Region: 'us-east-1',
  s3AccessKey: undefined,
  s3SecretKey: undefined,
  s3SilenceMsMax: 500,
};
const objects = async (changes: object) =>
  (
    await checkStores(
      { ...NO_BUCKET, redisUrl: undefined, postgresUrl: undefined, dataFolder: 'data', ...changes },
      undefined,
    )
  )[2]!;

const redis = async (redisUrl?: string) =>
  (await checkStores({ ...NO_BUCKET, redisUrl, postgresUrl: undefined, dataFolder: 'data' }, undefined))[0]!;
const database = async (postgresUrl?: string) =>
  (await checkStores({ ...NO_BUCKET, redisUrl: undefined, postgresUrl, dataFolder: 'data' }, undefined))[1]!;

const queue = async (queueRedisUrl?: string) =>
  (
    await checkStores(
      { ...NO_BUCKET, redisUrl: undefined, queueRedisUrl, postgresUrl: undefined, dataFolder: 'data' },
      undefined,
    )
  )[3];

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

  describe('the object store', () => {
    const BUCKET = { s3Bucket: 'files', s3AccessKey: 'key', s3SecretKey: 's3cret' };
    const answering = async (head: string) => ({
      ...BUCKET,
      s3Url: `http://${await serverThatSays(() => `${head}\r\n\r\n`)}`,
    });

    it('is a folder where there is none', async () => {
      expect(await objects({})).toMatchObject({ ok: true, detail: 'files are in data: for gateways of one machine' });
    });

    it('is asked for a file that is not there, and has answered when it says so', async () => {
      const there = await createBucket();
      expect(await objects({ ...BUCKET, s3Url: there })).toMatchObject({
        ok: true,
        detail: expect.stringMatching(/^the bucket files of 127\.0\.0\.1:\d+ answers/),
      });
    });

    it('is wrong where it refuses, is silent, is not there, or is no address, and its secret is never said', async () => {
      const found = [
        await objects(await answering('HTTP/1.1 403 Forbidden\r\ncontent-length: 0')),
        await objects({ ...BUCKET, s3Url: `http://${await serverThatSays(() => '')}` }),
        await objects({ ...BUCKET, s3Url: 'http://127.0.0.1:1' }),
        await objects({ ...BUCKET, s3Url: 'nonsense' }),
        await objects({
          ...BUCKET,
          s3Url: `https://${await serverThatSays(() => 'HTTP/1.1 400 Bad Request\r\n\r\n')}`,
        }),
        await objects({ ...BUCKET, s3Url: 'https://127.0.0.1:1', 's3Tls.caFile': '/nowhere/ca.pem' }),
      ];
      expect(found.map(({ ok }) => ok)).toEqual(found.map(() => false));
      expect(found.map(({ detail }) => detail)).toEqual([
        expect.stringMatching(/refuses its keys/),
        expect.stringMatching(/said nothing for 500 ms/),
        expect.stringMatching(/ECONNREFUSED/),
        expect.stringMatching(/s3Url is not an address/),
        expect.stringMatching(/speaks no TLS/),
        expect.stringMatching(/ca\.pem/),
      ]);
      expect(JSON.stringify(found)).not.toContain('s3cret');
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

  describe('the Redis of the queues', () => {
    /** Says so to PING and INFO, in several pieces, as a network may. */
    const serverThatTells = async (memory: string, ping = '+PONG\r\n') => {
      const server = createServer((socket) => {
        sockets.push(socket);
        socket.write(ping);
        const text = `$${memory.length}\r\n${memory}\r\n`;
        setImmediate(() => socket.write(text.slice(0, 20), () => setImmediate(() => socket.write(text.slice(20)))));
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return `127.0.0.1:${(server.address() as { port: number }).port}`;
    };
    const told = (bytes: number, policy: string) =>
      `# Memory\r\nused_memory:1\r\nmaxmemory:${bytes}\r\nmaxmemory_policy:${policy}\r\n`;

    it('has no line where there is none', async () => {
      expect(await queue()).toBeUndefined();
    });

    it('answers, and forgets nothing', async () => {
      for (const memory of [told(1_000_000, 'noeviction'), told(0, 'allkeys-lru'), '# Memory\r\n']) {
        const address = await serverThatTells(memory);
        expect(await queue(`redis://${address}`)).toEqual({ about: 'queue', ok: true, detail: `${address} answers` });
      }
    });

    it('is wrong where it would forget jobs', async () => {
      const address = await serverThatTells(told(1_000_000, 'allkeys-lru'), '+OK\r\n+PONG\r\n');
      expect(await queue(`redis://:s3cret@${address}`)).toEqual({
        about: 'queue',
        ok: false,
        detail: `${address} forgets keys when it is full (maxmemory-policy allkeys-lru), and jobs with them.`,
        remedy: 'Give it `maxmemory-policy noeviction`, or correct `queueRedisUrl`.',
      });
    });

    it('is fine where it tells nothing of itself', async () => {
      const address = await serverThatSays(() => '+PONG\r\n-NOPERM User has no permissions\r\n');
      expect(await queue(`redis://${address}`)).toMatchObject({ ok: true, detail: `${address} answers` });
    });

    it('is wrong where it is away, wants another password, or is no Redis, and no password is said', async () => {
      const remedy = 'Start it, or correct `queueRedisUrl`.';
      const refusing = await serverThatSays(redisWith('right'));
      const web = await serverThatSays(() => 'HTTP/1.1 400 Bad Request\r\n\r\n');
      const found = [
        await queue('redis://:s3cret@127.0.0.1:1'),
        await queue(`redis://user:s3cret@${refusing}`),
        await queue(`redis://:s3cret@${web}`),
        await queue('reddis://:s3cret@host'),
      ];
      expect(found).toMatchObject([
        { ok: false, remedy, detail: "127.0.0.1:1 can't be reached (ECONNREFUSED)." },
        { ok: false, remedy, detail: expect.stringMatching(/refuses: WRONGPASS/) },
        { ok: false, remedy, detail: `${web} is no Redis: it answers otherwise than one.` },
        { ok: false, detail: '`queueRedisUrl` is not an address of Redis.' },
      ]);
      expect(JSON.stringify(found)).not.toContain('s3cret');
    });
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
  const settings = { ...NO_BUCKET, redisUrl: 'redis://127.0.0.1:1', postgresUrl: undefined, dataFolder: 'data' };

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
    const found = await checkStores(
      { ...NO_BUCKET, redisUrl: REDIS, queueRedisUrl: REDIS, postgresUrl: POSTGRES, dataFolder: 'data' },
      undefined,
    );
    expect(found.map(({ about }) => about)).toContain('queue');
    expect(found.filter(({ ok }) => !ok)).toEqual([]);
  });
});
