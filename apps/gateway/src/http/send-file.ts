import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { FilePart } from '../walks/manage-files.js';

/** How slowly a file may be read: each reader holds one of `fileDownloadsMax` places, and a connection to the object store. */
export interface DownloadPatience {
  /** However little there is to read. */
  readonly msMin: number;
  /** Over all of it. */
  readonly bytesPerSecondMin: number;
}

/** Half a megabit: whose line is slower reads a large file in ranges. */
const PATIENCE: DownloadPatience = { msMin: 60_000, bytesPerSecondMin: 64 * 1024 };
/** Of a timer of Node, which would end at once where it is asked for more; there are 25 days in it. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * All of a file or a part of it, no faster than it is read, and no slower than `patience` allows: then the connection ends, for the answer has
 * begun. What the object holds is released however it ends.
 */
export async function sendFile(
  reply: FastifyReply,
  { file, part, content }: FilePart,
  patience: DownloadPatience = PATIENCE,
): Promise<void> {
  reply.status(part === undefined ? 200 : 206).headers({
    'content-type': 'application/octet-stream',
    'content-length': part?.bytes ?? file.bytes,
    'content-disposition': dispositionOf(file.filename),
    // Nobody's browser makes a page of it.
    'x-content-type-options': 'nosniff',
    'accept-ranges': 'bytes',
    etag: `"${file.sha256}"`,
    ...(part && { 'content-range': `bytes ${part.from}-${part.from + part.bytes - 1}/${file.bytes}` }),
  });
  if (reply.request.method === 'HEAD') {
    await content[Symbol.asyncDispose]();
    // An empty text would make Fastify say that it is empty.
    return void reply.send(Readable.from([]));
  }
  const stream = Readable.from(content.content, { objectMode: false });
  const { socket } = reply.raw.req;
  // The answer to a request that waits behind others on its connection may never close, though the connection does.
  const end = () => stream.destroy();
  const tooSlow = setTimeout(
    () => {
      end();
      socket.destroy(); // What has left the stream is not ended with it.
    },
    msMaxOf(part?.bytes ?? file.bytes, patience),
  );
  socket.once('close', end);
  if (socket.destroyed) end(); // Gone before we began to listen.
  // Not a `finally` in a generator: one whose client left before the first piece is never begun.
  stream.once('close', () => {
    clearTimeout(tooSlow);
    socket.off('close', end);
    void content[Symbol.asyncDispose]();
  });
  reply.send(stream);
}

function msMaxOf(bytes: number, { msMin, bytesPerSecondMin }: DownloadPatience): number {
  return Math.min(msMin + Math.ceil((bytes / bytesPerSecondMin) * 1_000), TIMER_MS_MAX);
}

/** For old readers without what is not ASCII, and for the others as RFC 8187 has it. */
function dispositionOf(filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]|["\\%]/gu, '_');
  const encoded = encodeURIComponent(filename).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
