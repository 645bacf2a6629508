import {
  type ChangeKeyBody,
  type CreateKeyBody,
  changeKeySchema,
  createKeySchema,
  InferenceError,
  keyLimitsSchema,
  type ListKeysQuery,
  listKeysSchema,
  type RotateKeyBody,
  rotateKeySchema,
} from '@millrace/contracts';
import { checkFields } from './check-fields.js';

const NESTED = { limits: keyLimitsSchema.shape };

/** The bodies of the admin API. @throws InferenceError a 400 that names the field. */

export function parseCreateKey(body: unknown, nowMs: number): CreateKeyBody {
  const request = checkFields(createKeySchema, body, NESTED);
  const { expires_at } = request;
  if (expires_at == null || expires_at * 1_000 > nowMs) return request;
  throw new InferenceError(
    'invalid_request',
    `\`expires_at\` is ${expires_at}, which was ${new Date(expires_at * 1_000).toISOString()}; it takes a time to come, in Unix seconds.`,
    { param: 'expires_at' },
  );
}

export function parseChangeKey(body: unknown): ChangeKeyBody {
  const request = checkFields(changeKeySchema, body, NESTED);
  if (Object.keys(request).length > 0) return request;
  const names = Object.keys(changeKeySchema.shape).join(', ');
  throw new InferenceError('invalid_request', `The body changes nothing. Name at least one of ${names}.`);
}

/** No body is one that leaves everything as it is by default. */
export function parseRotateKey(body: unknown): RotateKeyBody {
  return checkFields(rotateKeySchema, body ?? {});
}

export function parseListKeys(query: unknown): ListKeysQuery {
  return checkFields(listKeysSchema, query);
}
