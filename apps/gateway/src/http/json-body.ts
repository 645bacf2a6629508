import { isUtf8 } from 'node:buffer';
import { InferenceError } from '@millrace/contracts';
import type { FastifyInstance } from 'fastify';

/** JSON, and nothing else, is read; what we would misread is refused before it is. */
export function readJsonBodies(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const encoding = request.headers['content-encoding'] ?? 'identity';
    done(encoding === 'identity' ? undefined : compressed(encoding));
  });
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
}

/**
 * JSON.parse, not Fastify's guarded parser: it makes `__proto__` an ordinary key, which validation then refuses by name
 * like any other it does not know. Of a key that is given twice, the last counts.
 */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw new InferenceError('invalid_request', 'The body is empty; it must be a JSON object.');
  if (!isUtf8(body)) throw new InferenceError('invalid_request', 'The body is not UTF-8. Send JSON in UTF-8.');
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
