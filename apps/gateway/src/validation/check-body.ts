import { InferenceError, type ParameterTable } from '@millrace/contracts';
import type * as z from 'zod';
import { checkParameters } from './check-parameters.js';
import { checkShape } from './check-shape.js';
import { checkText } from './check-text.js';
import { show } from './show-value.js';

/** Everything that can be said of a body without knowing the models, in the order in which a caller wants to hear it. */
export function checkBody<T>(body: unknown, parameters: ParameterTable, schema: z.ZodType<T>): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    const given = body === undefined ? 'missing' : show(body);
    throw new InferenceError('invalid_request', `The body is ${given}; it must be a JSON object.`);
  }
  checkText(body);
  checkParameters(body as Readonly<Record<string, unknown>>, parameters);
  return checkShape(schema, body);
}
