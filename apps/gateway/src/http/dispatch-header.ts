import { DISPATCH_ASKS, DISPATCH_HEADER, type DispatchAsk, InferenceError } from '@millrace/contracts';
import type { FastifyRequest } from 'fastify';

const VALUES: ReadonlySet<unknown> = new Set(DISPATCH_ASKS);
const SHOWN_CHARS_MAX = 40;

/**
 * By which way a request should reach a worker; undefined: it does not say.
 *
 * @throws InferenceError for anything that means nothing here, a header that was sent twice among it.
 */
export function dispatchAskOf({ headers }: Pick<FastifyRequest, 'headers'>): DispatchAsk | undefined {
  const given = headers[DISPATCH_HEADER];
  if (given === undefined || VALUES.has(given)) return given as DispatchAsk | undefined;
  throw new InferenceError(
    'invalid_request',
    `${DISPATCH_HEADER} is ${JSON.stringify(String(given).slice(0, SHOWN_CHARS_MAX))}; it takes one of ${DISPATCH_ASKS.join(', ')}. Send one of them, once, or leave it out.`,
    { param: DISPATCH_HEADER },
  );
}
