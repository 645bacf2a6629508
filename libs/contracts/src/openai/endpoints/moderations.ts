import { moderationRequestSchema, moderationSchema } from '../moderations.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const MODERATIONS_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/moderations',
    tag: 'Moderation',
    summary: 'Have a model judge whether texts are harmful, and in what way.',
    body: moderationRequestSchema,
    answers: withErrors({ 200: { description: 'A verdict for each text.', schema: moderationSchema } }, WORK_ERRORS),
    cached: true,
  },
];
