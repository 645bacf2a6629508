import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { InferenceError, toOpenAiResponse } from '@millrace/contracts';
import type { FastifyReply } from 'fastify';
import { newRequestId } from './request-id.js';

/** What Node's HTTP parser refuses, before or while Fastify reads a request. */
const STATUS_OF: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

/**
 * Answers for requests that never became one: a body or header that comes too slowly, broken HTTP, headers too large.
 * They bypass Fastify and Nest, so the answer is written by hand; it has the same shape and its own `x-request-id`.
 */
export class SocketErrors {
  readonly #latest = new WeakMap<Socket, FastifyReply>();

  /** Remembers what is being answered on a connection, so that nothing is written into the middle of it. */
  track(reply: FastifyReply): void {
    this.#latest.set(reply.raw.req.socket, reply);
  }

  answer(error: Error & { code?: string }, socket: Socket): void {
    const reply = this.#latest.get(socket);
    const begun = reply?.raw.headersSent && !reply.raw.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || begun) {
      socket.destroy();
      return;
    }
    const unfinished = reply !== undefined && !reply.raw.writableFinished;
    socket.end(responseText(STATUS_OF[error.code ?? ''] ?? 400, unfinished ? reply.request.id : newRequestId()));
    socket.destroySoon();
  }
}

function responseText(status: number, requestId: string): string {
  const body = JSON.stringify(toOpenAiResponse(refusal(status)).body);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

function refusal(status: number): InferenceError {
  if (status === 408)
    return new InferenceError('request_timeout', 'The request did not arrive in time. Send it again.');
  if (status === 431) return new InferenceError('invalid_request', 'The headers are too large. Send less of them.');
  return new InferenceError('invalid_request', 'This is not a readable HTTP request.');
}
