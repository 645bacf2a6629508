import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { FilePart } from '../walks/manage-files.js';

/** All of a file or a part of it, no faster than it is read. What the object holds is released however it ends. */
export async function sendFile(reply: FastifyReply, { file, part, content }: FilePart): Promise<void> {
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
  socket.once('close', end);
  if (socket.destroyed) end(); // Gone before we began to listen.
  // Not a `finally` in a generator: one whose client left before the first piece is never begun.
  stream.once('close', () => {
    socket.off('close', end);
    void content[Symbol.asyncDispose]();
  });
  reply.send(stream);
}

/** For old readers without what is not ASCII, and for the others as RFC 8187 has it. */
function dispositionOf(filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]|["\\%]/gu, '_');
  const encoded = encodeURIComponent(filename).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
