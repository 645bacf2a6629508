import { type AddModelBody, addModelSchema, pullModelSchema, removeModelQuerySchema } from '@millrace/contracts';
import type * as z from 'zod';
import { checkFields } from './check-fields.js';

/** The bodies of `/admin/models`. @throws InferenceError a 400 that names the field. */

export function parseAddModel(body: unknown): AddModelBody {
  return checkFields(addModelSchema, body);
}

/** No body leaves everything as it is by default. */
export function parsePullModel(body: unknown): z.infer<typeof pullModelSchema> {
  return checkFields(pullModelSchema, body ?? {});
}

export function parseRemoveModel(query: unknown): z.infer<typeof removeModelQuerySchema> {
  return checkFields(removeModelQuerySchema, query ?? {});
}
