import type { IncomingMessage, Server } from 'node:http';
import { Socket } from 'node:net';

/**
 * Whoever is still sending its body when its answer ends the connection gets to read that answer. Closing at once would make the
 * system send a reset, which most clients report in place of what they were told (RFC 9112, section 9.6). So our side is ended, and
 * what still comes is read and thrown away, until the body is over or the client leaves; `bodyTimeoutMs` bounds it, as it does any
 * body.
 */
export function lingerOverBodies(server: Server): void {
  server.prependListener('request', (request: IncomingMessage) => {
    const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
    if (length === '0' && encoding === undefined) return;
    const { socket } = request;
    // Not the socket's own, which is that of the request before: they would be called through each other, however many there were.
    const destroySoon = () => Socket.prototype.destroySoon.call(socket);
    // How Node closes a connection after its last answer.
    socket.destroySoon = () => {
      if (request.complete || request.destroyed) return destroySoon();
      request.once('close', destroySoon).resume();
      socket.end();
    };
  });
}
