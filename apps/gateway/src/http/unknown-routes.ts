import { InferenceError } from '@millrace/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isOpenAisAlone } from './dialect.js';

/** The one pattern of all paths is the CORS plugin's, for OPTIONS; it makes no path exist. */
export const ANY_PATH = '*';

/** OpenAI has these, and nothing here has; each fits a pattern of what there is. */
const NOT_SERVED: ReadonlySet<string> = new Set(['/v1/responses/compact']);

/**
 * Tells a path that does not exist (404) from a method that it does not take (405 with `Allow`), which Fastify's router
 * does not. Call it before any route is registered.
 */
export function refuseUnknownRoutes(fastify: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  fastify.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    methods.set(url, known);
    for (const name of [method].flat()) known.add(name);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const path = (request.url.split('?', 1)[0] ?? '').replace(/(?<=.)\/$/, ''); // The router does not mind it either.
    if (NOT_SERVED.has(path)) return done(notServed(request));
    if (isOpenAisAlone(request)) return done(notAnthropics(request));
    if (!request.is404 && !isOptionsOfNoRoute(request) && !isOfAnother(request, path, methods)) return done();
    const allowed = methodsOf(path, request.method, methods);
    done(allowed ? methodNotAllowed(request, allowed, reply) : unknownUrl(request));
  });
}

type Methods = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * The methods of a path, unless the one that was used is among them: then it was something else that was wrong. A path that is written out
 * goes before patterns that it happens to fit.
 */
function methodsOf(path: string, used: string, methods: Methods): string | undefined {
  const fitting = [...methods].filter(
    ([pattern, known]) => pattern !== ANY_PATH && !known.has(used) && matches(pattern, path),
  );
  const [, known] = fitting.find(([pattern]) => pattern === path) ?? fitting[0] ?? [];
  return known && [...known].join(', ');
}

/**
 * The router keeps the routes of each method by themselves: what a path that is written out does not take goes to a pattern that it happens
 * to fit (`GET /v1/responses/input_tokens` to the response of that id).
 */
function isOfAnother({ method, routeOptions: { url = '' } }: FastifyRequest, path: string, methods: Methods): boolean {
  return /[:*]/.test(url) && methods.get(path)?.has(method) === false;
}

/** Part by part: `:id` is any one of them, and a `*` at the end all that are left. */
function matches(pattern: string, path: string): boolean {
  const [expected, parts] = [pattern.split('/'), path.split('/')];
  const open = expected.at(-1) === '*' && parts.length >= expected.length;
  if (!open && parts.length !== expected.length) return false;
  return expected.every((one, index) => (/^[*:]/.test(one) ? parts[index] !== '' : one === parts[index]));
}

/** The CORS plugin answers preflights before they get here; what else asks with OPTIONS only meets its route by chance. */
function isOptionsOfNoRoute({ method, routeOptions }: FastifyRequest): boolean {
  return method === 'OPTIONS' && routeOptions.url === ANY_PATH;
}

function methodNotAllowed(request: FastifyRequest, allowed: string, reply: FastifyReply): InferenceError {
  reply.header('allow', allowed);
  return new InferenceError(
    'method_not_allowed',
    `${request.method} is not allowed for ${askedPath(request)}; use ${allowed}.`,
  );
}

function unknownUrl(request: FastifyRequest): InferenceError {
  return new InferenceError(
    'unknown_url',
    `Unknown request URL: ${request.method} ${askedPath(request)}. /docs lists what is served.`,
  );
}

function notServed(request: FastifyRequest): InferenceError {
  return new InferenceError(
    'unknown_url',
    `${request.method} ${askedPath(request)} is not served here. /docs lists what is.`,
  );
}

function notAnthropics(request: FastifyRequest): InferenceError {
  return new InferenceError(
    'unknown_url',
    `${request.method} ${askedPath(request)} is not served of Anthropic’s API, of which there are messages, their tokens counted, and models. For OpenAI’s, send no anthropic-version, and nothing below /anthropic.`,
  );
}

/** As it was sent, and not too long to be told. */
function askedPath({ originalUrl }: FastifyRequest): string {
  return (originalUrl.split('?', 1)[0] ?? '').slice(0, 200);
}
