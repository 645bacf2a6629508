import type { FastifyInstance } from 'fastify';

/**
 * Ends a connection whose client takes nothing of a whole answer for `clientStallTimeoutMs`: until then the answer is kept for it, and nothing
 * else would ever end that. Streams look after themselves, more strictly (server-sent-events.ts).
 *
 * Node's own timer of the socket, which begins anew whenever some of what is to be written has left. It is set when the answer is
 * there and not before, for a model may think for longer; when all of it has left, Node sets it to `keepAliveTimeoutMs`.
 */
export function endUnreadAnswers(fastify: FastifyInstance, clientStallTimeoutMs: number): void {
  fastify.addHook('onSend', ({ raw }, _reply, payload, done) => {
    raw.socket.setTimeout(clientStallTimeoutMs);
    done(null, payload);
  });
}
