import type { Socket } from 'node:net';
import { InferenceError } from '@millrace/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Injected under this token: `BodyPatience`. */
export const FORM_PATIENCE = Symbol('FORM_PATIENCE');

/** Where a file may come as a form. */
const FORM_ROUTES: ReadonlySet<string> = new Set(['/v1/files', '/v1/uploads/:id/parts']);
const FORM_TYPE = 'multipart/form-data';

/** Whether its body is read by its controller, as it comes. */
export function isForm({ method, route, headers }: FastifyRequest): boolean {
  return method === 'POST' && FORM_ROUTES.has(route ?? '') && isFormType(headers['content-type']);
}

function isFormType(contentType: string | undefined): boolean {
  return contentType?.slice(0, FORM_TYPE.length).toLowerCase() === FORM_TYPE;
}

export function refuseUnlessForm(request: FastifyRequest): void {
  if (isForm(request)) return;
  throw new InferenceError(
    'unsupported_media_type',
    `The body is no form. Send it as ${FORM_TYPE}, with the file in it.`,
  );
}

/** Forms that come in just now: they are left to their controllers, which watch them as they come. */
export class FormBodies {
  readonly #coming = new WeakSet<Socket>();

  read(fastify: FastifyInstance): void {
    fastify.addContentTypeParser(FORM_TYPE, (request, _payload, done) => {
      if (!isForm(request)) return done(notHere());
      const { raw } = request;
      const { socket } = raw;
      this.#coming.add(socket);
      raw.once('close', () => this.#coming.delete(socket));
      done(null, undefined);
    });
  }

  /** Node ends what is not there after `bodyTimeoutMs`. It says so once for each request, and then forgets it. */
  mayGoOn(error: Error & { code?: string }, socket: Socket): boolean {
    return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && this.#coming.has(socket);
  }
}

function notHere(): InferenceError {
  return new InferenceError('unsupported_media_type', 'The body is not JSON. Send Content-Type: application/json.');
}
