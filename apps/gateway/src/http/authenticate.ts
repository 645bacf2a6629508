import { InferenceError } from '@millrace/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Authenticator } from '../keys/authenticator.js';
import type { Caller } from '../vocabulary.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; undefined where nobody had to say so. */
    caller: Caller | undefined;
    /** Of the body, as it was sent; 0 until it was read. */
    bodyBytes: number;
    /** From `x-millrace-deadline-ms`. */
    deadlineMs: number | undefined;
  }
}

/** Whoever restarts, routes or looks is not asked who they are. */
const OPEN_PATHS = /^\/(healthz|readyz|health|metrics|openapi\.json|docs(\/.*)?)?$/;

/**
 * Finds out who asks, before anything of the body is read: a stranger can not make the gateway take in 16 MiB first. That is why
 * it is a hook and no guard of Nest's, which run later.
 */
export function authenticate(fastify: FastifyInstance, keys: Authenticator): void {
  fastify.decorateRequest('caller');
  fastify.decorateRequest('bodyBytes', 0);
  fastify.decorateRequest('deadlineMs');
  fastify.addHook('onRequest', async (request) => {
    const path = request.url.split('?', 1)[0]!;
    if (OPEN_PATHS.test(path) || path.startsWith('/admin')) return;
    request.caller = await keys.authenticate(presentedKey(request));
    request.deadlineMs = deadlineOf(request);
  });
}

/** `Authorization` wins; Anthropic's clients send the other. */
function presentedKey({ headers }: FastifyRequest): string | undefined {
  const [, bearer] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
  return bearer ?? [headers['x-api-key']].flat()[0];
}

const DEADLINE_MS_MAX = 86_400_000;

function deadlineOf({ headers }: FastifyRequest): number | undefined {
  const given = headers['x-millrace-deadline-ms'];
  if (given === undefined) return undefined;
  const ms = typeof given === 'string' && /^\d{1,9}$/.test(given) ? Number(given) : 0;
  if (ms >= 1 && ms <= DEADLINE_MS_MAX) return ms;
  throw new InferenceError(
    'invalid_request',
    `x-millrace-deadline-ms is ${JSON.stringify(String(given).slice(0, 40))}; it takes a whole number of milliseconds from 1 to ${DEADLINE_MS_MAX.toLocaleString('en')}.`,
    { param: 'x-millrace-deadline-ms' },
  );
}
