import {
  appliedTemplateSchema,
  applyTemplateRequestSchema,
  detokenizedSchema,
  detokenizeRequestSchema,
  tokenizedSchema,
  tokenizeRequestSchema,
} from '../tokenize.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const TOKENS_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/tokenize',
    tag: 'Tokens',
    summary: 'The tokens of a text or a chat. Also at `/tokenize`.',
    body: tokenizeRequestSchema,
    answers: withErrors({ 200: { description: 'The tokens.', schema: tokenizedSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/detokenize',
    tag: 'Tokens',
    summary: 'The text of tokens. Also at `/detokenize`.',
    body: detokenizeRequestSchema,
    answers: withErrors({ 200: { description: 'The text.', schema: detokenizedSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/apply-template',
    tag: 'Tokens',
    summary: "The prompt that the model's template makes of a chat. Also at `/apply-template`.",
    body: applyTemplateRequestSchema,
    answers: withErrors({ 200: { description: 'The prompt.', schema: appliedTemplateSchema } }, WORK_ERRORS),
  },
];
