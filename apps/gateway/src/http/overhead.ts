import { beginAtZero, histogram } from '@millrace/runtime';
import type { FastifyInstance } from 'fastify';
import { MEASURED } from '../metrics/declarations.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the time since `bodyReadMs`, what others took; undefined: no worker answered, or not in one piece. */
    elsewhereMs: number | undefined;
  }
}

/**
 * `x-millrace-overhead-ms`: the gateway's own time in a whole answer, from the last byte of its request to the first of what is sent:
 * reading JSON and writing it too, which for long prompts and many vectors is most of it. Streams have sent their headers by then.
 */
export function tellOverhead(fastify: FastifyInstance): void {
  const overhead = histogram(MEASURED.overhead);
  beginAtZero(overhead, { answer: 'whole' });
  fastify.decorateRequest('elsewhereMs');
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    const { bodyReadMs, elsewhereMs } = request;
    if (bodyReadMs !== undefined && elsewhereMs !== undefined) {
      const overheadMs = performance.now() - bodyReadMs - elsewhereMs;
      reply.header('x-millrace-overhead-ms', overheadMs.toFixed(2));
      overhead.record(overheadMs / 1000, { answer: 'whole' });
    }
    done();
  });
}
