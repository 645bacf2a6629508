import { once } from 'node:events';
import { connect } from 'node:net';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import type { FilePart } from '../walks/manage-files.js';
import { type DownloadPatience, sendFile } from './send-file.js';

/** More than the system's buffers between two sockets hold. */
const BYTES = 48 * 1024 * 1024;
const PIECE = Buffer.alloc(1024 * 1024, 'x');

/** A server of one file, and whether what it holds of it was released. */
async function serving(patience: DownloadPatience) {
  const held = { now: 0 };
  const file = {
    id: 'file-1',
    filename: 'a',
    purpose: 'user_data',
    bytes: BYTES,
    sha256: '',
    created_at: new Date(),
    expires_at: null,
  } as const;
  async function* pieces() {
    for (let sent = 0; sent < BYTES; sent += PIECE.byteLength) yield PIECE;
  }
  const server = Fastify();
  server.get('/', async (_, reply) => {
    held.now++;
    const release = async () => {
      held.now--;
    };
    const part: FilePart = { file, part: undefined, content: { content: pieces(), [Symbol.asyncDispose]: release } };
    await sendFile(reply, part, patience);
    return reply;
  });
  await server.listen({ port: 0, host: '127.0.0.1' });
  const { port } = server.server.address() as { port: number };
  return { held, port, [Symbol.asyncDispose]: () => server.close() };
}

describe('a file that is read', () => {
  it('slower than is allowed is given up, though its reader takes some of it now and then', async () => {
    await using served = await serving({ msMin: 500, bytesPerSecondMin: BYTES * 10 });
    const socket = connect({ port: served.port, host: '127.0.0.1' }).on('error', () => {});
    socket.pause();
    const closed = once(socket, 'close');
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(() => served.held.now).toBe(1);
    const sipping = setInterval(() => socket.read(1_000), 20);
    await expect.poll(() => served.held.now, { timeout: 10_000 }).toBe(0);
    clearInterval(sipping);
    socket.resume();
    await closed;
    expect(socket.bytesRead).toBeLessThan(BYTES);
  });

  it('as fast as is allowed comes whole, and what is held of it is released', async () => {
    await using served = await serving({ msMin: 60_000, bytesPerSecondMin: 64 * 1024 });
    const response = await fetch(`http://127.0.0.1:${served.port}/`);
    expect((await response.arrayBuffer()).byteLength).toBe(BYTES);
    await expect.poll(() => served.held.now).toBe(0);
  });
});
