import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { FastifyReply } from 'fastify';
import { type Asked, failureAnswer, idHeaders } from './dialect.js';
import { newRequestId, requestIdOf } from './request-id.js';

/** What Node's HTTP parser refuses, before or while Fastify reads a request. */
const STATUS_OF: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

/** Of a request that never became one. */
const NOTHING_KNOWN: Asked = { headers: {} };

const JSON_TYPE = 'application/json; charset=utf-8';

/** How long a refused client may go on sending, and how much: one that is cut off in mid-sentence sees a reset, and not its answer. */
const LINGER_MS = 1_000;
const LINGER_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Answers for requests that never became one: a body or header that comes too slowly, broken HTTP, headers too large, an
 * `Expect` that nobody knows. They bypass Fastify and Nest, so the answer is written by hand; it has the same shape, and
 * an `x-request-id` that stands in the log.
 */
export class SocketErrors {
  /** What is not yet answered on a connection: several, when a client sends requests without awaiting their answers. */
  readonly #open = new WeakMap<Socket, Set<FastifyReply>>();

  constructor(private readonly logger: Logger) {}

  /** Remembers what is being answered on a connection, so that nothing is written into the middle of it. */
  track(reply: FastifyReply): void {
    const { socket } = reply.raw.req;
    const open = this.#open.get(socket) ?? new Set();
    this.#open.set(socket, open.add(reply));
    reply.raw.once('close', () => open.delete(reply));
  }

  answer(error: Error & { code?: string }, socket: Socket): void {
    const open = [...(this.#open.get(socket) ?? [])];
    // An answer that has begun would be broken by ours, and one that is still to come would be taken for it.
    const owed = open.some(({ raw }) => raw.headersSent || raw.req.complete);
    if (error.code === 'ECONNRESET' || !socket.writable || owed) {
      socket.destroy();
      return;
    }
    const status = STATUS_OF[error.code ?? ''] ?? 400;
    // The one whose body was being read, if there is one.
    const asked = open[0]?.request;
    const requestId = asked?.id ?? newRequestId();
    this.#log(requestId, status);
    lastWords(socket, responseText(status, requestId, asked ?? NOTHING_KNOWN));
  }

  /** Node would send a 417 without a body. */
  refuseExpectation(request: IncomingMessage, response: ServerResponse): void {
    const requestId = requestIdOf(request);
    this.#log(requestId, 417);
    const body = JSON.stringify(failureAnswer(refusal(417), request, requestId).body);
    const length = Buffer.byteLength(body);
    const headers = { 'content-type': JSON_TYPE, 'content-length': length, ...idHeaders(request, requestId) };
    response.writeHead(417, { ...headers, connection: 'close' }).end(body);
  }

  #log(requestId: string, status: number): void {
    this.logger.info({ requestId, status }, 'refused before it was a request');
  }
}

/** Says it, throws away what still comes, and ends the connection when the other side does, or lingers for too long. */
function lastWords(socket: Socket, text: string): void {
  let bytesLeft = LINGER_BYTES_MAX;
  socket.removeAllListeners('data'); // Or the parser would refuse each further piece again.
  socket.on('data', ({ length }) => {
    bytesLeft -= length;
    if (bytesLeft < 0) socket.destroy();
  });
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroySoon()).once('close', () => clearTimeout(timer));
  socket.end(text);
}

function responseText(status: number, requestId: string, asked: Asked): string {
  const body = JSON.stringify(failureAnswer(refusal(status), asked, requestId).body);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${JSON_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    ...Object.entries(idHeaders(asked, requestId)).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

function refusal(status: number): InferenceError {
  if (status === 408)
    return new InferenceError('request_timeout', 'The request did not arrive in time. Send it again.');
  if (status === 431) return new InferenceError('invalid_request', 'The headers are too large. Send less of them.');
  if (status === 417)
    return new InferenceError('invalid_request', 'Nothing is known of what Expect asks for. Leave it out.');
  return new InferenceError('invalid_request', 'This is not a readable HTTP request.');
}
