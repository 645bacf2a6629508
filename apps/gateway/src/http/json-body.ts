import { isUtf8 } from 'node:buffer';
import { InferenceError } from '@millrace/contracts';
import { tooMuchInJson } from '@millrace/runtime';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdminPath } from './authenticate.js';
import { isForm } from './form-bodies.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** On the clock of `performance.now()`: before it was parsed, which is the gateway's own time. Undefined: there was none. */
    bodyReadMs: number | undefined;
  }
}

/** JSON, and nothing else but forms where they are taken, is read; what is too large or would be misread is refused before it is. */
export function readJsonBodies(fastify: FastifyInstance, bodyBytesMax: number): void {
  fastify.decorateRequest('bodyReadMs');
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request;
    const encoding = headers['content-encoding'] ?? 'identity';
    const length = Number(headers['content-length'] ?? 0);
    // Some clients say it of every request; of one without a body it says nothing.
    const hasBody = length > 0 || headers['transfer-encoding'] !== undefined;
    if (hasBody && encoding !== 'identity') return done(compressed(encoding));
    // A form is never held, and has a limit of its own.
    if (isForm(request)) return done();
    // Fastify would refuse it as well, but end the connection at once: a client that is still sending then sees a reset
    // instead of its 413. This way Node reads the rest, for up to `bodyTimeoutMs`, and throws it away.
    done(length > bodyBytesMax ? tooLarge(length, bodyBytesMax) : undefined);
  });
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    request.bodyBytes = body.length;
    // Many clients name the type of a body that they do not send; there, what needs one says so itself.
    if (body.length === 0 && mayBeEmpty(request)) return done(null, undefined);
    request.bodyReadMs = performance.now();
    try {
      done(null, parseJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
}

/** Where no parameter is needed. */
const ROUTES_WITHOUT_BODY: ReadonlySet<string> = new Set([
  '/v1/conversations',
  '/v1/vector_stores',
  '/v1/vector_stores/:id',
]);

function mayBeEmpty(request: FastifyRequest): boolean {
  const { method, route = '' } = request;
  return method === 'DELETE' || route.endsWith('/cancel') || ROUTES_WITHOUT_BODY.has(route) || isAdminPath(request);
}

/**
 * JSON.parse, not Fastify's guarded parser: it makes `__proto__` an ordinary key, which validation then refuses by name
 * like any other it does not know. Of a key that is given twice, the last counts.
 */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw new InferenceError('invalid_request', 'The body is empty; it must be a JSON object.');
  if (!isUtf8(body)) throw new InferenceError('invalid_request', 'The body is not UTF-8. Send JSON in UTF-8.');
  const tooMuch = tooMuchInJson(body);
  if (tooMuch !== undefined) throw new InferenceError('invalid_request', `The body ${tooMuch}`);
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    const { message } = cause as SyntaxError;
    throw new InferenceError('invalid_request', `The body is not valid JSON: ${message.slice(0, 200)}`, { cause });
  }
}

function compressed(encoding: string): InferenceError {
  return new InferenceError(
    'unsupported_media_type',
    `The body has the content encoding ${encoding.slice(0, 40)}; it is read only as it is. Send it without compression.`,
  );
}

function tooLarge(length: number, bodyBytesMax: number): InferenceError {
  const [given, limit] = [length, bodyBytesMax].map((bytes) => bytes.toLocaleString('en'));
  return new InferenceError(
    'request_too_large',
    `The body has ${given} bytes; this server accepts ${limit}. Send less, or raise bodyBytesMax.`,
  );
}
