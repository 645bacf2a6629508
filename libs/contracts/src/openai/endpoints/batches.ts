import { batchListSchema, batchSchema, createBatchSchema, listBatchesSchema } from '../batches.js';
import { type Endpoint, STORE_ERRORS, withErrors } from './endpoint.js';

const BATCH_ID = { name: 'batch_id', description: 'The id of a batch: `batch_…`.' };

export const BATCHES_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/batches',
    tag: 'Batch jobs',
    summary: 'Have the requests of a file answered, when nobody else wants to be.',
    body: createBatchSchema,
    answers: withErrors({ 200: { description: 'The batch.', schema: batchSchema } }, [400, ...STORE_ERRORS, 413, 415]),
  },
  {
    method: 'get',
    path: '/v1/batches',
    tag: 'Batch jobs',
    summary: 'List the batches of the key, the newest first.',
    query: listBatchesSchema,
    answers: withErrors({ 200: { description: 'A page of batches.', schema: batchListSchema } }, [
      400,
      404,
      ...STORE_ERRORS,
    ]),
  },
  {
    method: 'get',
    path: '/v1/batches/{batch_id}',
    tag: 'Batch jobs',
    summary: 'How a batch stands.',
    answers: withErrors({ 200: { description: 'The batch.', schema: batchSchema } }, [404, ...STORE_ERRORS]),
    pathParameter: BATCH_ID,
  },
  {
    method: 'post',
    path: '/v1/batches/{batch_id}/cancel',
    tag: 'Batch jobs',
    summary: 'Begin no more lines of a batch. What was answered stays.',
    answers: withErrors({ 200: { description: 'The batch, cancelling.', schema: batchSchema } }, [
      404,
      409,
      ...STORE_ERRORS,
    ]),
    pathParameter: BATCH_ID,
  },
];
