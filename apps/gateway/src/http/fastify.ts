import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import cors, { type FastifyCorsOptions } from '@fastify/cors';
import fastifyStatic from '@fastify/static';
import { InferenceError, type Settings } from '@millrace/contracts';
import type { Logger, WatchedTls } from '@millrace/runtime';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../keys/authenticator.js';
import type { RefuseRequest } from '../walks/refuse-request.js';
import { authenticate, endpointOf, guardAdmin, isAdminPath } from './authenticate.js';
import { callOf } from './call-of.js';
import { boundConnections } from './connections.js';
import { failureAnswer, idHeaders } from './dialect.js';
import { SWAGGER_UI_FOLDER } from './docs.controller.js';
import { Drain } from './drain.js';
import { FormBodies } from './form-bodies.js';
import { Handshakes } from './handshakes.js';
import { httpsOptions, renewCertificates } from './https-server.js';
import { readJsonBodies } from './json-body.js';
import { lingerOverBodies } from './lingering-close.js';
import { OpenCalls } from './open-calls.js';
import { tellOverhead } from './overhead.js';
import { servedUrl, takeModelsOfPaths } from './path-aliases.js';
import { requestIdOf } from './request-id.js';
import { SocketErrors } from './socket-errors.js';
import { ANY_PATH, refuseUnknownRoutes } from './unknown-routes.js';
import { endUnreadAnswers } from './unread-answers.js';

export interface HttpServer {
  readonly adapter: FastifyAdapter;
  readonly openCalls: OpenCalls;
  readonly drain: Drain;
}

/** What the hooks ask. */
interface HttpWalks {
  readonly refuseRequest: RefuseRequest;
  readonly authenticator: Authenticator;
}

/** Between two looks of Node for requests that take too long; its own default of 30 s would make `bodyTimeoutMs` a lie. */
const TIMEOUT_CHECK_MS_MAX = 1_000;

/** What a page may read of an answer from another origin. */
const EXPOSED_HEADERS = [
  ...[
    'x-request-id',
    'request-id',
    'retry-after',
    'x-should-retry',
    'x-millrace-limit',
    'x-millrace-overhead-ms',
    'x-millrace-cache',
  ],
  ...['limit', 'remaining', 'reset'].flatMap((one) => [`x-ratelimit-${one}-requests`, `x-ratelimit-${one}-tokens`]),
];

/** Fastify, as far as it is the same for every route. The order of the hooks is the order in which they run. */
export async function createHttpServer(
  settings: Settings,
  { refuseRequest, authenticator }: HttpWalks,
  logger: Logger,
  tls?: WatchedTls,
): Promise<HttpServer> {
  const socketErrors = new SocketErrors(logger);
  const openCalls = new OpenCalls();
  const adapter = new FastifyAdapter(
    fastifyOptions(settings, refuseRequest, tls, (error, socket) => refuseSocket(error, socket)),
  );
  const fastify = adapter.getInstance() as FastifyInstance;
  const formBodies = new FormBodies();
  const answerSocket: RefuseSocket =
    tls === undefined
      ? (error, socket) => socketErrors.answer(error, socket)
      : secured(fastify, tls, socketErrors, logger);
  const refuseSocket: RefuseSocket = (error, socket) => {
    if (!formBodies.mayGoOn(error, socket)) answerSocket(error, socket);
  };

  const drain = new Drain(fastify.server, openCalls);
  fastify.decorateReply('endCall');
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers(idHeaders(request, request.id));
    socketErrors.track(reply);
    openCalls.track(reply);
    done();
  });
  boundConnections(fastify.server, settings.connectionsMax, logger);
  lingerOverBodies(fastify.server);
  fastify.server.on('checkExpectation', (request, response) => socketErrors.refuseExpectation(request, response));
  refuseWithoutHost(fastify);
  guardAdmin(fastify, authenticator, settings);
  if (settings.corsOrigins.length > 0) await allowOrigins(fastify, settings.corsOrigins, refuseRequest);
  refuseUnknownRoutes(fastify);
  refuseAtTheEnd(fastify, openCalls);
  authenticate(fastify, authenticator, settings);
  readJsonBodies(fastify, settings.bodyBytesMax);
  formBodies.read(fastify);
  takeModelsOfPaths(fastify);
  endUnreadAnswers(fastify, settings.clientStallTimeoutMs);
  tellOverhead(fastify);
  await fastify.register(fastifyStatic, { root: SWAGGER_UI_FOLDER, serve: false });
  return { adapter, openCalls, drain };
}

type RefuseSocket = (error: Error & { code?: string }, socket: Socket) => void;

function fastifyOptions(
  settings: Settings,
  refuseRequest: RefuseRequest,
  tls: WatchedTls | undefined,
  refuseSocket: RefuseSocket,
) {
  const node = {
    headersTimeout: settings.bodyTimeoutMs,
    requireHostHeader: false, // refuseWithoutHost does it.
    connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS_MAX, settings.bodyTimeoutMs),
  };
  return {
    logger: false,
    bodyLimit: settings.bodyBytesMax,
    requestTimeout: settings.bodyTimeoutMs,
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    ...(tls === undefined ? { http: node } : { https: { ...node, ...httpsOptions(tls, settings.bodyTimeoutMs) } }),
    forceCloseConnections: true,
    rewriteUrl: ({ url = '/' }: IncomingMessage) => servedUrl(url),
    genReqId: requestIdOf,
    requestIdHeader: false as const,
    clientErrorHandler: refuseSocket,
    frameworkErrors: answerUnroutable(refuseRequest),
    routerOptions: { maxParamLength: 1_000, ignoreTrailingSlash: true },
    skipMiddie: true, // No Nest middleware is used, and its hook would run for every request.
  };
}

/** New certificates are taken up; returns how errors of a socket are answered, among which those of handshakes have no request yet. */
function secured(fastify: FastifyInstance, tls: WatchedTls, socketErrors: SocketErrors, logger: Logger): RefuseSocket {
  const server = fastify.server as unknown as TlsServer & Server;
  const handshakes = new Handshakes(server, logger);
  server.once('close', renewCertificates(server, tls));
  return (error, socket) => {
    if (!handshakes.failed(error, socket)) socketErrors.answer(error, socket);
  };
}

/** A path that cannot even be decoded reaches neither hooks nor the error filter. */
function answerUnroutable(refuseRequest: RefuseRequest) {
  return ({ message }: Error, request: FastifyRequest, reply: FastifyReply): void => {
    const sentence = `The path of the request cannot be read: ${message.slice(0, 200)}`;
    reply.headers(idHeaders(request, request.id));
    answerRefusal(refuseRequest, new InferenceError('invalid_request', sentence), request, reply);
  };
}

/** What the error filter does, for the two cases that do not come by it. */
function answerRefusal(refuseRequest: RefuseRequest, error: Error, request: FastifyRequest, reply: FastifyReply): void {
  refuseRequest.run(error, endpointOf(request), callOf(request, reply));
  const { status, headers, body } = failureAnswer(error, request, request.id);
  void reply.status(status).headers(headers).send(body);
}

/** Node is told not to, since its 400 has neither body nor id. */
function refuseWithoutHost(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', ({ raw, headers }, _reply, done) => {
    const missing = headers.host === undefined && raw.httpVersion === '1.1';
    done(missing ? new InferenceError('invalid_request', 'The request has no Host header. Send one.') : undefined);
  });
}

async function allowOrigins(
  fastify: FastifyInstance,
  origins: readonly string[],
  refuseRequest: RefuseRequest,
): Promise<void> {
  // The plugin's own route is made before Nest sets its error handler, and would keep Fastify's.
  fastify.addHook('onRoute', (route) => {
    if (route.url === ANY_PATH) {
      route.errorHandler = (error, request, reply) => answerRefusal(refuseRequest, error, request, reply);
    }
  });
  const options: FastifyCorsOptions = {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  };
  await fastify.register(cors, {
    // The plugin would answer an OPTIONS that is no preflight itself, in plain text or with a 204; it is ours to refuse.
    delegator: (request: FastifyRequest, callback) => {
      const { headers } = request;
      if (isAdminPath(request)) return callback(null, { origin: false, preflight: false });
      const preflight = headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
      callback(null, { ...options, preflight });
    },
  });
}

/** Once what ran is ended, nothing is begun; whoever asks how we are still gets an answer. */
function refuseAtTheEnd(fastify: FastifyInstance, openCalls: OpenCalls): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const wantsWork = request.method === 'POST' || request.url.startsWith('/v1/');
    done(wantsWork ? openCalls.ended : undefined);
  });
}
