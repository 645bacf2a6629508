import {
  BATCH_PARAMETERS,
  type CreateBatchBody,
  createBatchSchema,
  LIST_BATCHES_PARAMETERS,
  type ListBatchesQuery,
  listBatchesSchema,
} from '@millrace/contracts';
import { checkBody } from './check-body.js';

/** What comes with batches. @throws InferenceError a 400 that names the field. */

export function parseCreateBatch(body: unknown): CreateBatchBody {
  return checkBody(body, BATCH_PARAMETERS, createBatchSchema);
}

export function parseListBatches(query: unknown): ListBatchesQuery {
  return checkBody(query ?? {}, LIST_BATCHES_PARAMETERS, listBatchesSchema);
}
