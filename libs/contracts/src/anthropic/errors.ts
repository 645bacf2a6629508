import * as z from 'zod';
import { toInferenceError, toOpenAiResponse } from '../errors/inference-error.js';

/** How failures look to Anthropic's clients: https://platform.claude.com/docs/en/api/errors. */

const ERROR_TYPES = [
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'not_found_error',
  'conflict_error',
  'request_too_large',
  'rate_limit_error',
  'timeout_error',
  'overloaded_error',
  'api_error',
] as const;

type AnthropicErrorType = (typeof ERROR_TYPES)[number];

export const anthropicErrorSchema = z
  .object({
    type: z.literal('error'),
    error: z.object({
      type: z.enum(ERROR_TYPES),
      message: z.string(),
      details: z
        .object({ error_code: z.string() })
        .meta({ description: 'For programs: the code of the error, as everywhere here.' }),
    }),
    request_id: z.string(),
  })
  .meta({ id: 'AnthropicError' });

export type AnthropicErrorBody = z.infer<typeof anthropicErrorSchema>;

/** What is not listed is the caller's mistake below 500, and ours from there on. */
const TYPE_OF_STATUS: Readonly<Record<number, AnthropicErrorType>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** What clients look for who ask for something that is Anthropic's alone: its tool runner then sends the conversation whole. */
const THREAD_UNSUPPORTED = 'thread_unsupported_request';

/**
 * The HTTP answer for any thrown value, in Anthropic's shape. Status and headers are what they are to everybody: one failure has one
 * status in answers, records and metrics. So a full waiting room is a 429 and not Anthropic's 529, which balancers would take for a
 * broken server; its type says whose fault it is.
 */
export function toAnthropicResponse(
  thrown: unknown,
  requestId: string,
): {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AnthropicErrorBody;
} {
  const { status, headers } = toOpenAiResponse(thrown);
  const { code, message, details } = toInferenceError(thrown);
  const isOurs = code === 'model_failed' || (status >= 500 && TYPE_OF_STATUS[status] === undefined);
  const isFull = details.limit === 'queue' || details.limit === 'upstream';
  const type = isFull ? 'overloaded_error' : isOurs ? 'api_error' : (TYPE_OF_STATUS[status] ?? 'invalid_request_error');
  const error_code = code === 'unsupported_parameter' && details.param === 'thread' ? THREAD_UNSUPPORTED : code;
  const error = { type, message, details: { error_code } };
  return { status, headers, body: { type: 'error', error, request_id: requestId } };
}
