import { InferenceError } from '@millrace/contracts';
import type * as z from 'zod';
import { checkShape } from './check-shape.js';
import { checkText } from './check-text.js';
import { refuseUnknown } from './refuse-unknown.js';
import { show } from './show-value.js';

/**
 * The body of an admin API, of whose fields none is unknown.
 *
 * @param nested of those that are objects themselves, what they may hold.
 * @throws InferenceError a 400 that names the field.
 */
export function checkFields<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  body: unknown,
  nested: Readonly<Record<string, object>> = {},
): z.infer<z.ZodObject<Shape>> {
  if (!isObject(body)) {
    const given = body === undefined ? 'missing' : show(body);
    throw new InferenceError('invalid_request', `The body is ${given}; it must be a JSON object.`);
  }
  checkText(body);
  refuseUnknown(body, Object.keys(schema.shape));
  for (const [name, known] of Object.entries(nested)) {
    const value = body[name];
    if (isObject(value)) refuseUnknown(value, Object.keys(known), name);
  }
  return checkShape(schema, body);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
