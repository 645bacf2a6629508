import { CACHE_ASKS, CACHE_HEADER, InferenceError } from '@millrace/contracts';
import type { FastifyRequest } from 'fastify';
import type { CacheAsk } from '../vocabulary.js';

const VALUES: ReadonlySet<unknown> = new Set(CACHE_ASKS);
const SHOWN_CHARS_MAX = 40;

/**
 * What a request asks of the cache; undefined: nothing.
 *
 * @throws InferenceError for anything that means nothing here, a header that was sent twice among it: nobody can tell which was meant.
 */
export function cacheAskOf({ headers }: Pick<FastifyRequest, 'headers'>): CacheAsk | undefined {
  const given = headers[CACHE_HEADER];
  if (given === undefined || VALUES.has(given)) return given as CacheAsk | undefined;
  throw new InferenceError(
    'invalid_request',
    `${CACHE_HEADER} is ${JSON.stringify(String(given).slice(0, SHOWN_CHARS_MAX))}; it takes one of ${CACHE_ASKS.join(', ')}. Send one of them, once, or leave it out.`,
    { param: CACHE_HEADER },
  );
}
