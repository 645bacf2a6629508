import { DEADLINE_MS_MAX, InferenceError, isLoopback, type Settings } from '@millrace/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Authenticator } from '../keys/authenticator.js';
import { ANYONE, type CacheAsk, type Caller, type DispatchAsk } from '../vocabulary.js';
import { cacheAskOf } from './cache-header.js';
import { dispatchAskOf } from './dispatch-header.js';
import { meansThisMachine } from './local-host.js';
import { ANY_PATH } from './unknown-routes.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** As it was registered; undefined where nothing is. */
    route: string | undefined;
    /** Who asks; undefined where nobody had to say so. */
    caller: Caller | undefined;
    /** Of the body, as it was sent; 0 until it was read. */
    bodyBytes: number;
    /** Whether to tell them of models, workers and stores. */
    isInsider: boolean;
    /** From `x-millrace-deadline-ms`. */
    deadlineMs: number | undefined;
    /** From `x-millrace-cache`. */
    cacheAsk: CacheAsk | undefined;
    dispatchAsk: DispatchAsk | undefined;
  }
}

/**
 * Whoever restarts, routes or looks is not asked who they are. These are routes and no paths: a path has many spellings
 * (`/%61dmin`, `http://host/admin`), of which the router knows one meaning.
 */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/',
  '/healthz',
  '/readyz',
  '/health',
  '/metrics',
  '/openapi.json',
  '/docs',
  '/docs/:file',
]);
/** Of those, what `metricsNeedAdminKey` closes. */
const INNER_ROUTES: ReadonlySet<string> = new Set(['/health', '/metrics']);
/** Balancers ask it, which have no key: it answers them, and then tells its status alone. */
const READINESS_ROUTE = '/readyz';
/** The admin key may look at the models too, so that `millrace serve` and `millrace models` need no API key for that. */
const MODEL_ROUTES: ReadonlySet<string> = new Set(['/v1/models', '/v1/models/*', '/models']);
/** Beside looking, it alone may take a model out of the registry, which is everybody's. */
const MODEL_ROUTE = '/v1/models/*';
/** Like anyone, but known by its key. */
const ADMIN: Caller = { ...ANYONE };

/**
 * Lets nobody below `/admin` without the admin key, be there something at the path or not. Call it before anything that answers or
 * refuses by itself, CORS among it: no web page ever has the admin key.
 */
export function guardAdmin(
  fastify: FastifyInstance,
  keys: Authenticator,
  { metricsNeedAdminKey }: { readonly metricsNeedAdminKey: boolean },
): void {
  fastify.decorateRequest('route');
  fastify.decorateRequest('isInsider', true);
  fastify.addHook('onRequest', (request, reply, done) => {
    // Once: Fastify makes these options anew each time that they are asked for.
    request.route = request.is404 ? undefined : request.routeOptions.url;
    const admin = isAdminPath(request);
    if (admin) reply.header('cache-control', 'no-store');
    if (metricsNeedAdminKey && request.route === READINESS_ROUTE)
      request.isInsider = keys.isAdmin(presentedKey(request));
    const inner = metricsNeedAdminKey && INNER_ROUTES.has(request.route ?? '');
    if (!admin && !inner) return done();
    try {
      keys.admitAdmin(presentedKey(request));
      done();
    } catch (error) {
      reply.header('www-authenticate', 'Bearer');
      done(error as Error);
    }
  });
}

/**
 * Finds out who asks, before anything of the body is read: a stranger can not make the gateway take in 16 MiB first. That is why
 * it is a hook and no guard of Nest's, which run later. Call it behind what refuses unknown routes.
 *
 * Where nobody needs a key because only this machine can ask, only what is addressed to this machine is answered.
 */
export function authenticate(
  fastify: FastifyInstance,
  keys: Authenticator,
  { host, allowUnauthenticated }: Pick<Settings, 'host' | 'allowUnauthenticated'>,
): void {
  const onlyThisMachine = isLoopback(host) && !allowUnauthenticated;
  fastify.decorateRequest('caller');
  fastify.decorateRequest('bodyBytes', 0);
  fastify.decorateRequest('deadlineMs');
  fastify.decorateRequest('cacheAsk');
  fastify.decorateRequest('dispatchAsk');
  fastify.addHook('onRequest', (request, reply, done) => {
    if (OPEN_ROUTES.has(request.route ?? '') || isAdminPath(request)) return done();
    const refuse = (error: unknown) => {
      if (error instanceof InferenceError && error.code === 'invalid_api_key')
        reply.header('www-authenticate', 'Bearer');
      done(error as Error);
    };
    const accept = (caller: Caller) => {
      if (onlyThisMachine && caller === ANYONE) refuseOtherHosts(request);
      if (request.method === 'DELETE' && request.route === MODEL_ROUTE && caller !== ADMIN) throw notTheAdmin();
      request.caller = caller;
      done();
    };
    try {
      request.deadlineMs = deadlineOf(request);
      request.cacheAsk = cacheAskOf(request);
      request.dispatchAsk = dispatchAskOf(request);
      const caller = callerOf(request, keys);
      // In the same turn, where it can be: nobody who has a key waits for another's.
      if (caller instanceof Promise) caller.then(accept).catch(refuse);
      else accept(caller);
    } catch (error) {
      refuse(error);
    }
  });
}

function callerOf(request: FastifyRequest, keys: Authenticator): Caller | Promise<Caller> {
  const presented = presentedKey(request);
  if (MODEL_ROUTES.has(request.route ?? '') && keys.isAdmin(presented)) return ADMIN;
  return keys.authenticate(presented);
}

function notTheAdmin(): InferenceError {
  return new InferenceError(
    'admin_key_required',
    'An API key may not delete models: they are for all keys. Send the key of the admin API, which is MILLRACE_ADMIN_KEY, or in the file admin-key of the gateway’s dataFolder.',
  );
}

function refuseOtherHosts({ headers: { host } }: FastifyRequest): void {
  if (meansThisMachine(host)) return;
  throw new InferenceError(
    'invalid_api_key',
    `The request is addressed to ${JSON.stringify(host?.slice(0, 100))}. Without API keys this server answers only what is addressed to this machine, such as localhost, since any web page can have a name that leads here. Make a key with \`millrace keys create NAME\`, or serve everybody with allowUnauthenticated.`,
  );
}

/** Also where there is no route: who has no key does not learn which there are. */
export function isAdminPath({ route, url }: FastifyRequest): boolean {
  return /^\/admin(\/|$)/.test(route === undefined || route === ANY_PATH ? decodedPath(url) : route);
}

/** What a request counts as that never reached a walk of its own. */
export function endpointOf(request: FastifyRequest): 'admin' | 'other' {
  return isAdminPath(request) ? 'admin' : 'other';
}

function decodedPath(url: string): string {
  const path = url.split('?', 1)[0]!;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** `Authorization` wins; Anthropic's clients send the second, and Azure's the third. Nothing else is looked at: not the URL, not who proxies say it is. */
function presentedKey({ headers }: FastifyRequest): string | undefined {
  const [, bearer] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
  return bearer ?? [headers['x-api-key'] ?? headers['api-key']].flat()[0];
}

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
