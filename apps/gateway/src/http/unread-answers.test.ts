import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { endUnreadAnswers } from './unread-answers.js';

/** More than the system's buffers between two sockets hold. */
const LARGE = 'x'.repeat(48 * 1024 * 1024);
const STALL_MS = 600;

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A server, and a connection to it that has asked for `path` and reads nothing yet. */
async function asked(path: string) {
  const server = Fastify();
  endUnreadAnswers(server, STALL_MS);
  server.get('/large', async () => LARGE);
  server.get('/late', async () => {
    await after(3 * STALL_MS);
    return 'late';
  });
  await server.listen({ port: 0, host: '127.0.0.1' });
  const seen = { closed: false };
  server.server.on('connection', (one: Socket) => void once(one, 'close').then(() => (seen.closed = true)));
  const { port } = server.server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1' });
  socket.pause();
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  const close = async () => {
    socket.destroy();
    await server.close();
  };
  return { seen, socket, [Symbol.asyncDispose]: close };
}

describe('a whole answer', () => {
  it('is given up when its client takes nothing of it', async () => {
    await using reader = await asked('/large');
    await expect.poll(() => reader.seen.closed, { timeout: 5_000 }).toBe(true);
  });

  it('is kept for a client that takes it, however slowly', async () => {
    await using reader = await asked('/large');
    let bytes = 0;
    reader.socket.on('data', (data) => {
      bytes += data.length;
    });
    for (let time = 0; time < 5; time++) {
      reader.socket.pause();
      await after(STALL_MS / 3);
      reader.socket.resume();
      await after(2);
    }
    expect(reader.seen.closed).toBe(false);
    await expect.poll(() => bytes, { timeout: 5_000 }).toBeGreaterThan(LARGE.length);
  });

  it('may be long in coming, and leaves the connection open', async () => {
    await using reader = await asked('/late');
    const [data] = await once(reader.socket.resume(), 'data');
    expect(String(data)).toContain('late');
    await after(2 * STALL_MS);
    expect(reader.seen.closed).toBe(false);
  });
});
