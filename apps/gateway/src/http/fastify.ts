import cors from '@fastify/cors';
import fastifyStatic from '@fastify/static';
import { InferenceError, type Settings, toOpenAiResponse } from '@millrace/contracts';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Readiness } from '../walks/readiness.js';
import { SWAGGER_UI_FOLDER } from './docs.controller.js';
import { readJsonBodies } from './json-body.js';
import { OpenCalls } from './open-calls.js';
import { requestIdOf } from './request-id.js';
import { SocketErrors } from './socket-errors.js';
import { refuseUnknownRoutes } from './unknown-routes.js';

export interface HttpServer {
  readonly adapter: FastifyAdapter;
  readonly openCalls: OpenCalls;
}

/** Between two looks of Node for requests that take too long; its own default of 30 s would make `bodyTimeoutMs` a lie. */
const TIMEOUT_CHECK_MS_MAX = 1_000;

/** Fastify, as far as it is the same for every route. The order of the hooks is the order in which they run. */
export async function createHttpServer(settings: Settings, readiness: Readiness): Promise<HttpServer> {
  const socketErrors = new SocketErrors();
  const openCalls = new OpenCalls();
  const adapter = new FastifyAdapter(fastifyOptions(settings, socketErrors));
  const fastify = adapter.getInstance() as FastifyInstance;

  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    socketErrors.track(reply);
    openCalls.track(reply);
    done();
  });
  if (settings.corsOrigins.length > 0) await allowOrigins(fastify, settings.corsOrigins);
  refuseUnknownRoutes(fastify);
  refuseWhileDraining(fastify, readiness);
  readJsonBodies(fastify, settings.bodyBytesMax);
  await fastify.register(fastifyStatic, { root: SWAGGER_UI_FOLDER, serve: false });
  return { adapter, openCalls };
}

function fastifyOptions(settings: Settings, socketErrors: SocketErrors) {
  return {
    logger: false,
    bodyLimit: settings.bodyBytesMax,
    requestTimeout: settings.bodyTimeoutMs,
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    http: {
      headersTimeout: settings.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS_MAX, settings.bodyTimeoutMs),
    },
    forceCloseConnections: true,
    genReqId: requestIdOf,
    requestIdHeader: false as const,
    clientErrorHandler: (error: Error, socket: Parameters<SocketErrors['answer']>[1]) =>
      socketErrors.answer(error, socket),
    frameworkErrors: answerUnroutable,
    routerOptions: { maxParamLength: 1_000, ignoreTrailingSlash: true },
    skipMiddie: true, // No Nest middleware is used, and its hook would run for every request.
  };
}

/** A path that cannot even be decoded reaches neither hooks nor the error filter. */
function answerUnroutable(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body } = toOpenAiResponse(
    new InferenceError('invalid_request', `The path of the request cannot be read: ${error.message.slice(0, 200)}`),
  );
  void reply.status(status).header('x-request-id', request.id).send(body);
}

async function allowOrigins(fastify: FastifyInstance, origins: readonly string[]): Promise<void> {
  await fastify.register(cors, {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST'],
    exposedHeaders: ['x-request-id', 'x-millrace-limit', 'retry-after'],
    maxAge: 600,
  });
}

/** New calls on connections that were open already; whoever asks how we are still gets an answer. */
function refuseWhileDraining(fastify: FastifyInstance, readiness: Readiness): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    if (!readiness.draining) return done();
    reply.header('connection', 'close');
    if (!request.url.startsWith('/v1/')) return done();
    done(new InferenceError('shutting_down', 'This server is stopping and takes no new requests. Send it again.'));
  });
}
