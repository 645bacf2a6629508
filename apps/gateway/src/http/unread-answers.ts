import type { FastifyInstance } from 'fastify';

/**
 * Ends a connection whose client takes nothing of a whole answer for `clientStallTimeoutMs`: until then the answer is kept for it, and nothing
 * else would ever end that. Streams look after themselves, more strictly (server-sent-events.ts).
 *
 * Node's own timer of the socket, which begins anew whenever some of what is to be written has left. It runs while this answer is written
 * and not before or after, for a model may think for longer, about this one or about another that was asked for on the same connection. When
 * all of it has left, Node sets it to `keepAliveTimeoutMs`.
 */
export function endUnreadAnswers(fastify: FastifyInstance, clientStallTimeoutMs: number): void {
  fastify.addHook('onSend', ({ raw: { socket } }, { raw }, payload, done) => {
    const begin = () => void socket.setTimeout(clientStallTimeoutMs);
    // Without a socket, another answer of the same connection comes first.
    if (raw.socket === null) raw.once('socket', begin);
    else begin();
    // Before Node's own listener, which sets it for the idle connection.
    raw.prependOnceListener('finish', () => void socket.setTimeout(0));
    done(null, payload);
  });
}
