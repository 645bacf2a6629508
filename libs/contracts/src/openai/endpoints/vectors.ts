import { embeddingsRequestSchema, embeddingsSchema } from '../embeddings.js';
import { rerankRequestSchema, rerankSchema } from '../rerank.js';
import { type Endpoint, WORK_ERRORS, withErrors } from './endpoint.js';

export const VECTORS_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/embeddings',
    tag: 'Vectors',
    summary: 'Vectors of texts.',
    body: embeddingsRequestSchema,
    answers: withErrors({ 200: { description: 'The vectors.', schema: embeddingsSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/rerank',
    tag: 'Vectors',
    summary: 'Sort documents by how near they are to a query. Also at `/v2/rerank`.',
    body: rerankRequestSchema,
    answers: withErrors({ 200: { description: 'The documents, best first.', schema: rerankSchema } }, WORK_ERRORS),
  },
];
