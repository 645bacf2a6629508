import { chatChunkSchema, chatCompletionSchema, chatRequestSchema } from '../chat.js';
import { plainAnswerSchema, plainChatRequestSchema, plainPieceSchema } from '../plain-chat.js';
import { textCompletionSchema, textRequestSchema } from '../text.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const GENERATION_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/chat/completions',
    tag: 'Generation',
    summary: 'Answer a conversation, whole or streamed.',
    body: chatRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: chatCompletionSchema } }, WORK_ERRORS),
    streamed: chatChunkSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/v1/completions',
    tag: 'Generation',
    summary: 'Continue a text, whole or streamed.',
    body: textRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: textCompletionSchema } }, WORK_ERRORS),
    streamed: textCompletionSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/chat',
    tag: 'Generation',
    summary: 'Answer a conversation, in fewer words: who answered, how much it took, and how long.',
    body: plainChatRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: plainAnswerSchema } }, WORK_ERRORS),
    streamed: plainPieceSchema,
    cached: true,
  },
];
