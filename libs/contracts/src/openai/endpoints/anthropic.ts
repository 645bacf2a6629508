import { anthropicErrorSchema } from '../../anthropic/errors.js';
import {
  countTokensRequestSchema,
  messageEventSchema,
  messageSchema,
  messagesRequestSchema,
  messageTokensSchema,
} from '../../anthropic/messages.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const ANTHROPIC_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/messages',
    tag: 'Anthropic',
    summary: 'Answer a conversation, whole or streamed, as Anthropic’s API does.',
    body: messagesRequestSchema,
    answers: withErrors(
      { 200: { description: 'The answer.', schema: messageSchema } },
      WORK_ERRORS,
      anthropicErrorSchema,
    ),
    streamed: messageEventSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/v1/messages/count_tokens',
    tag: 'Anthropic',
    summary: 'How many tokens a conversation has, as Anthropic’s API counts them.',
    body: countTokensRequestSchema,
    answers: withErrors(
      { 200: { description: 'The number.', schema: messageTokensSchema } },
      WORK_ERRORS,
      anthropicErrorSchema,
    ),
  },
];
