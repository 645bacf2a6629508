import {
  inputTokensRequestSchema,
  inputTokensSchema,
  responseEventSchema,
  responseRequestSchema,
  responseSchema,
} from '../responses.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const RESPONSES_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/responses',
    tag: 'Responses',
    summary: 'Answer items, whole or as a stream of events.',
    body: responseRequestSchema,
    answers: withErrors({ 200: { description: 'The response.', schema: responseSchema } }, [...WORK_ERRORS, 409]),
    streamed: responseEventSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/v1/responses/input_tokens',
    tag: 'Responses',
    summary: 'How many tokens a response would have as its prompt.',
    body: inputTokensRequestSchema,
    answers: withErrors({ 200: { description: 'Their number.', schema: inputTokensSchema } }, WORK_ERRORS),
  },
];
