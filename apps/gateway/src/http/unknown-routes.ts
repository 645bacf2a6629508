import { InferenceError } from '@millrace/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** The one pattern of all paths is the CORS plugin's, for OPTIONS; it makes no path exist. */
export const ANY_PATH = '*';

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
    if (!request.is404 && !isOptionsOfNoRoute(request) && !isOfAnother(request, path, methods)) return done();
    const allowed = methodsOf(path, request.method, methods);
    const asked = request.originalUrl.split('?', 1)[0] ?? '';
    done(allowed ? methodNotAllowed(request.method, asked, allowed, reply) : unknownUrl(request.method, asked));
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

function methodNotAllowed(method: string, path: string, allowed: string, reply: FastifyReply): InferenceError {
  reply.header('allow', allowed);
  return new InferenceError('method_not_allowed', `${method} is not allowed for ${shorten(path)}; use ${allowed}.`);
}

function unknownUrl(method: string, path: string): InferenceError {
  return new InferenceError(
    'unknown_url',
    `Unknown request URL: ${method} ${shorten(path)}. /docs lists what is served.`,
  );
}

function shorten(path: string): string {
  return path.slice(0, 200);
}
