import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Call } from '../vocabulary.js';
import { clientLeft } from './client-left.js';
import { traceContextOf } from './trace-context.js';

/** What a walk needs to know of an HTTP call. */
export function callOf(request: FastifyRequest, reply: FastifyReply): Call {
  return {
    requestId: request.id,
    arrivedMs: performance.now(),
    clientLeft: clientLeft(reply),
    trace: traceContextOf(request.headers),
  };
}
