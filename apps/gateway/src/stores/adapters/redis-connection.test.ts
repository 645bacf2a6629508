import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { createLogger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisConnection } from './redis-connection.js';
import { freePort, REDIS_SERVER_INSTALLED, RedisServer } from './redis-server.testing.js';

const lines: string[] = [];
const logger = createLogger(
  { name: 'gateway', level: 'debug', format: 'json' },
  { write: (line: string) => void lines.push(line) },
);
const opened: AsyncDisposable[] = [];
const connections: RedisConnection[] = [];

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  for (const server of opened.splice(0)) await server[Symbol.asyncDispose]();
  lines.length = 0;
});

async function aServer(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  opened.push(server);
  return server;
}

function connect(url: string, timeoutMs = 200): RedisConnection {
  const connection = new RedisConnection({ url, timeoutMs }, logger);
  connections.push(connection);
  return connection;
}

describe('RedisConnection', () => {
  it.each(['', 'localhost', 'http://host:1', 'redis://', 'redis://:secret@'])('refuses the address %j', (url) => {
    expect(() => connect(url)).toThrow(/`redisUrl` is not an address of Redis/);
    expect(() => connect(url)).not.toThrow(/secret/);
  });

  it('lives without a Redis, says so once, and never tells the password', async () => {
    const port = await freePort();
    const connection = connect(`redis://user:pass%2Fword@127.0.0.1:${port}/3`);
    await connection.ready(700);
    await expect(connection.client.ping()).rejects.toThrow('there is no connection');
    expect(connection.trouble).toMatch(`Redis at redis://127.0.0.1:${port}/3 can't be reached`);
    expect(connection.trouble).toMatch('ECONNREFUSED');
    expect(lines).toHaveLength(1);
    expect(lines.join()).not.toMatch(/user|pass/);
  });

  it('works with a Redis older than is wanted, and says that it is', async () => {
    const old = await anOldRedis();
    const connection = connect(`redis://127.0.0.1:${(old.address() as AddressInfo).port}`);
    await connection.ready(2_000);
    expect(connection.trouble).toBeUndefined();
    await expect.poll(() => lines.join()).toMatch('is version 5.0.14; Millrace is made for 7 and newer. Update it.');
    await connection.close();
    old.close();
  });

  describe.skipIf(!REDIS_SERVER_INSTALLED)('with a Redis of its own (redis-server on the path)', () => {
    it('answers, and is no trouble', async () => {
      const server = await aServer();
      const connection = connect(server.url);
      await connection.ready(2_000);
      expect(await connection.client.ping()).toBe('PONG');
      expect(connection.trouble).toBeUndefined();
      expect(lines).toEqual([]);
    });

    it('works with one that throws keys away when it is full, and says that it does', async () => {
      const server = await aServer('--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru');
      const connection = connect(server.url);
      await connection.ready(2_000);
      await expect.poll(() => lines.join()).toMatch('forgets keys when it is full (maxmemory-policy allkeys-lru)');
      expect(lines).toHaveLength(1);
    });

    it.each([
      ['--maxmemory', '50mb', '--maxmemory-policy', 'noeviction'],
      ['--maxmemory', '0', '--maxmemory-policy', 'allkeys-lru'],
    ])('has nothing to say of one that does not: %s %s %s %s', async (...args) => {
      const server = await aServer(...args);
      const connection = connect(server.url);
      await connection.ready(2_000);
      // The connection answers in order: its own question comes first.
      await connection.client.ping();
      await new Promise((resolve) => setImmediate(resolve));
      expect(lines).toEqual([]);
    });

    it('comes back by itself after Redis was away, without sending anything again', async () => {
      const server = await aServer();
      const connection = connect(server.url);
      await connection.ready(2_000);
      await server.stop();
      await expect.poll(() => connection.trouble).toMatch(/can't be reached/);
      await expect(connection.client.incr('counted')).rejects.toThrow();
      await server.start();
      await expect.poll(() => connection.trouble, { timeout: 5_000 }).toBeUndefined();
      expect(await connection.client.incr('counted')).toBe(1);
      await expect.poll(() => lines.filter((line) => line.includes('is back'))).toHaveLength(1);
    });

    it('gives commands up in time when Redis hangs, drops the dead connection, and goes on when it is back', async () => {
      const server = await aServer();
      const connection = connect(server.url, 100);
      await connection.ready(2_000);
      server.freeze();
      await expect(connection.client.ping()).rejects.toThrow('no answer within 100 ms');
      await expect.poll(() => connection.trouble, { timeout: 5_000 }).toMatch(/can't be reached/);
      server.thaw();
      await expect.poll(() => connection.trouble, { timeout: 8_000 }).toBeUndefined();
      expect(await connection.client.ping()).toBe('PONG');
    });

    it('says in words of its own that the connection was lost under a command', async () => {
      const server = await aServer();
      const connection = connect(server.url, 5_000);
      await connection.ready(2_000);
      server.freeze();
      const lost = connection.client.ping();
      lost.catch(() => {});
      await server.stop();
      await expect(lost).rejects.toThrow('the connection was lost');
    });

    it('does not take Redis for dead because this process was busy', async () => {
      const server = await aServer();
      const connection = connect(server.url, 50);
      await connection.ready(2_000);
      const answer = connection.client.ping();
      await pause(0);
      // As a long garbage collection would.
      const untilMs = performance.now() + 120;
      while (performance.now() < untilMs);
      expect(await answer).toBe('PONG');
    });

    it('keeps a bounded number of commands', async () => {
      const server = await aServer();
      const connection = connect(server.url, 1_000);
      await connection.ready(2_000);
      await connection.client.ping();
      server.freeze();
      const results = await Promise.allSettled(Array.from({ length: 10_100 }, () => connection.client.ping()));
      const reasons = results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'answered'));
      expect(reasons.filter((reason) => reason.includes('10000 commands wait'))).toHaveLength(100);
      server.thaw();
    });

    it('speaks for itself with a password, and says why a wrong one is refused', async () => {
      const server = await aServer('--requirepass', 'right:word');
      const right = connect(`redis://:right%3Aword@127.0.0.1:${server.port}`);
      await right.ready(2_000);
      expect(await right.client.ping()).toBe('PONG');
      const wrong = connect(`redis://:wrong-word@127.0.0.1:${server.port}`);
      await expect.poll(() => wrong.trouble).toMatch(/WRONGPASS/);
      expect(lines.join()).not.toMatch(/wrong-word|right:word/);
    });

    it('gives others a connection of their own, which subscribes again by itself', async () => {
      const server = await aServer();
      const connection = connect(server.url);
      const subscriber = connection.duplicate();
      const heard: string[] = [];
      subscriber.on('message', (_channel, message) => heard.push(message));
      await subscriber.subscribe('news');
      await connection.ready(2_000);
      await connection.client.publish('news', 'first');
      await expect.poll(() => heard).toEqual(['first']);
      await server.stop();
      await server.start();
      await expect.poll(() => connection.trouble, { timeout: 5_000 }).toBeUndefined();
      await expect.poll(() => connection.client.publish('news', 'second'), { timeout: 5_000 }).toBe(1);
      await expect.poll(() => heard).toEqual(['first', 'second']);
    });
  });
});

/** Answers what a client says first as a Redis 5 does: it knows no RESP3, and little else is asked of it. */
async function anOldRedis(): Promise<Server> {
  const info = 'redis_version:5.0.14\r\nloading:0\r\n';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      for (const [, name] of String(data).matchAll(/^(HELLO|CLIENT|INFO)\r$/gim)) {
        if (name!.toUpperCase() === 'INFO') socket.write(`$${info.length}\r\n${info}\r\n`);
        else if (name!.toUpperCase() === 'HELLO') socket.write('-ERR unknown command `HELLO`\r\n');
        else socket.write('+OK\r\n');
      }
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}
