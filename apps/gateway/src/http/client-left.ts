import { InferenceError } from '@millrace/contracts';
import type { FastifyReply } from 'fastify';

/**
 * Aborts when the connection closes under the answer, or when the gateway ends and gives up on it (`OpenCalls.endAll`).
 *
 * Not Fastify's `request.signal`: it watches the request, which closes as soon as a POST's body has been read, and so
 * fires while the client is still waiting (Fastify 5.12).
 */
export function clientLeft(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const onClose = () => {
    if (!reply.raw.writableFinished) {
      controller.abort(new InferenceError('client_closed_request', 'The client left before its answer was complete.'));
    }
  };
  reply.raw.once('close', onClose);
  reply.endCall = (error) => controller.abort(error);
  if (reply.raw.destroyed) onClose(); // Gone before we began to listen.
  return controller.signal;
}
