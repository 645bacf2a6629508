import { type ErrorCode, InferenceError } from '@millrace/contracts';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RefuseRequest } from '../walks/refuse-request.js';
import { endpointOf } from './authenticate.js';
import { callOf } from './call-of.js';
import { failureAnswer } from './dialect.js';

/** The only place where a thrown error becomes an HTTP response. */
@Catch()
export class OpenAiErrorFilter implements ExceptionFilter {
  constructor(@Inject(RefuseRequest) private readonly refuseRequest: RefuseRequest) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<FastifyReply>();
    const error = fromFramework(thrown);
    const request = http.getRequest<FastifyRequest>();
    this.refuseRequest.run(error, endpointOf(request), callOf(request, reply));
    if (reply.sent) return;
    const { status, headers, body } = failureAnswer(error, request, request.id);
    void reply.status(status).headers(headers).send(body);
  }
}

/** Nest and Fastify refuse some requests before we see them. Their status tells why; the words are ours. */
const FRAMEWORK_REFUSALS: Readonly<Record<number, { code: ErrorCode; message?: string }>> = {
  400: { code: 'invalid_request' },
  404: { code: 'unknown_url' },
  408: { code: 'request_timeout', message: 'The body did not arrive in time. Send the request again.' },
  413: {
    code: 'request_too_large',
    message: 'The body is larger than this server accepts. Send less, or raise bodyBytesMax.',
  },
  414: { code: 'invalid_request' },
  415: { code: 'unsupported_media_type', message: 'The body is not JSON. Send Content-Type: application/json.' },
};

function fromFramework(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof InferenceError) return thrown;
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: number }).statusCode;
  const refusal = FRAMEWORK_REFUSALS[status ?? 500];
  return refusal ? new InferenceError(refusal.code, refusal.message ?? thrown.message, { cause: thrown }) : thrown;
}
