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
import type * as z from 'zod';
import { checkShape } from './check-shape.js';
import { checkText } from './check-text.js';
import { show } from './show-value.js';

/** The bodies of the admin API. @throws InferenceError a 400 that names the field. */

export function parseCreateKey(body: unknown, nowMs: number): CreateKeyBody {
  const request = checkFields(createKeySchema, body);
  const { expires_at } = request;
  if (expires_at == null || expires_at * 1_000 > nowMs) return request;
  throw new InferenceError(
    'invalid_request',
    `\`expires_at\` is ${expires_at}, which was ${new Date(expires_at * 1_000).toISOString()}; it takes a time to come, in Unix seconds.`,
    { param: 'expires_at' },
  );
}

export function parseChangeKey(body: unknown): ChangeKeyBody {
  const request = checkFields(changeKeySchema, body);
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

function checkFields<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, body: unknown) {
  if (!isObject(body)) {
    const given = body === undefined ? 'missing' : show(body);
    throw new InferenceError('invalid_request', `The body is ${given}; it must be a JSON object.`);
  }
  checkText(body);
  refuseUnknown(body, schema.shape, '');
  if (isObject(body.limits)) refuseUnknown(body.limits, keyLimitsSchema.shape, 'limits.');
  return checkShape(schema, body);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuseUnknown(given: object, known: object, within: string): void {
  const name = Object.keys(given)
    .find((one) => !Object.hasOwn(known, one))
    ?.slice(0, 100);
  if (name === undefined) return;
  throw new InferenceError(
    'unknown_parameter',
    `\`${within}${name}\` is not known here; what there is: ${Object.keys(known).join(', ')}.`,
    { param: `${within}${name}` },
  );
}
