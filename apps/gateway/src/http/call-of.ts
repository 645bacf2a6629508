import type { FastifyReply, FastifyRequest } from 'fastify';
import { ANYONE, type Call } from '../vocabulary.js';
import { clientLeft } from './client-left.js';
import { traceContextOf } from './trace-context.js';

/** What a walk needs to know of an HTTP call. */
export function callOf(request: FastifyRequest, reply: FastifyReply): Call {
  return {
    requestId: request.id,
    caller: request.caller ?? ANYONE, // One that was refused before anybody asked who it is.
    bodyBytes: request.bodyBytes,
    deadlineMs: request.deadlineMs,
    cacheAsk: request.cacheAsk,
    dispatchAsk: request.dispatchAsk,
    tell: (headers) => {
      if (!reply.raw.headersSent) reply.headers(headers);
    },
    notOurs: (ms) => {
      request.elsewhereMs = ms;
    },
    arrivedMs: request.bodyReadMs ?? performance.now(),
    course: {},
    clientLeft: clientLeft(reply),
    trace: traceContextOf(request.headers),
    route: routeOf(request),
  };
}

function routeOf({ method, routeOptions }: FastifyRequest): Call['route'] {
  return routeOptions.url === undefined ? undefined : { method, path: routeOptions.url };
}
