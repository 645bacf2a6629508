import { CACHE_HEADER, CACHE_HEADER_TEXTS } from '../cache-header.js';
import type { Endpoint } from './endpoint.js';

interface Header {
  readonly description: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

const text = { type: 'string' };
const whole = { type: 'integer', minimum: 0 };

/** Every header of an answer that says something of this API, by its name. */
export const ANSWER_HEADERS: Readonly<Record<string, Header>> = {
  'x-request-id': {
    description: 'Which request this is, as in the log: the caller’s own id, or a new one.',
    schema: text,
  },
  'request-id': { description: '`x-request-id`, by the name that Anthropic’s clients look for.', schema: text },
  'retry-after': { description: 'After how many seconds to try again.', schema: whole },
  'x-should-retry': {
    description: '`false`: trying again is of no use. Clients of OpenAI’s and Anthropic’s heed it.',
    schema: { const: 'false' },
  },
  'x-millrace-limit': { description: 'Which limit refused the request.', schema: text },
  'x-millrace-overhead-ms': {
    description: 'The gateway’s own time in this answer, in milliseconds. Streams have none.',
    schema: { type: 'number', minimum: 0 },
  },
  'x-millrace-continued': {
    description: '`true`: another worker went on with the answer that one had begun.',
    schema: { const: 'true' },
  },
  [CACHE_HEADER]: { description: CACHE_HEADER_TEXTS.told, schema: { type: 'string', enum: ['hit', 'miss'] } },
  'www-authenticate': { description: 'How to say who asks.', schema: { const: 'Bearer' } },
  etag: { description: 'The SHA-256 of the whole file.', schema: text },
  'content-range': { description: 'Which part of the file it is, and how long the file is.', schema: text },
  'accept-ranges': { description: 'That parts may be asked for, by bytes.', schema: { const: 'bytes' } },
  'content-disposition': { description: 'The name of the file.', schema: text },
  ...Object.fromEntries(
    ['requests', 'tokens'].flatMap((kind) => [
      [`x-ratelimit-limit-${kind}`, { description: `How many ${kind} a minute the caller may send.`, schema: whole }],
      [`x-ratelimit-remaining-${kind}`, { description: `How many ${kind} are left of them.`, schema: whole }],
      [`x-ratelimit-reset-${kind}`, { description: 'In how long all are there again: `8.64s`, `6m0s`.', schema: text }],
    ]),
  ),
};

const RATES = Object.keys(ANSWER_HEADERS).filter((name) => name.startsWith('x-ratelimit-'));
const FILE = ['etag', 'accept-ranges', 'content-disposition'];

/** Which of them come with an answer of this status: always, or where they have something to say. */
export function headersAt(endpoint: Endpoint, status: number): string[] {
  const { path, cached, text: type } = endpoint;
  const isWork = endpoint.answers[504] !== undefined;
  const isFile = type === 'application/octet-stream';
  return [
    'x-request-id',
    ...(/^\/v1\/(messages|models)/.test(path) ? ['request-id'] : []),
    ...(status >= 400 ? ['retry-after', 'x-should-retry'] : []),
    ...(status === 401 ? ['www-authenticate'] : []),
    ...(status === 429 ? ['x-millrace-limit'] : []),
    ...(isWork ? [...RATES, 'x-millrace-overhead-ms'] : []),
    ...(isWork && status === 200 ? ['x-millrace-continued'] : []),
    ...(cached ? [CACHE_HEADER] : []),
    ...(isFile && (status === 200 || status === 206) ? FILE : []),
    ...(isFile && (status === 206 || status === 416) ? ['content-range'] : []),
  ];
}

export const DEADLINE_MS_MAX = 86_400_000;

/** What any request may say. */
export const DEADLINE_ASKED = {
  name: 'x-millrace-deadline-ms',
  in: 'header',
  required: false,
  description: 'Within how many milliseconds the answer has to be there; then it is a 504.',
  schema: { type: 'integer', minimum: 1, maximum: DEADLINE_MS_MAX },
};
export const RANGE_ASKED = {
  name: 'range',
  in: 'header',
  required: false,
  description: 'Which part of the file: `bytes=0-1023`, `bytes=1024-`, `bytes=-1024`. Anything else is passed over.',
  schema: { type: 'string' },
};
