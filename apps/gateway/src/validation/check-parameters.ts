import { isDeepStrictEqual } from 'node:util';
import { InferenceError, type Parameter, type ParameterTable } from '@millrace/contracts';
import { show } from './show-value.js';

/** Refuses what the table does not list, and what it lists as refused, unless the value asks for nothing. */
export function checkParameters(body: Readonly<Record<string, unknown>>, table: ParameterTable): void {
  for (const [name, value] of Object.entries(body)) {
    // hasOwn, since a client may well send `constructor` or `__proto__`.
    if (!Object.hasOwn(table, name)) {
      throw new InferenceError('unknown_parameter', `Unrecognized request argument supplied: ${name.slice(0, 100)}`, {
        param: name.slice(0, 100),
      });
    }
    const parameter: Parameter = table[name]!;
    if (parameter.status === 'refused') checkRefused(name, value, parameter);
  }
}

function checkRefused(name: string, value: unknown, { note = '', allows = [] }: Parameter): void {
  if (value === null || allows.some((allowed) => isDeepStrictEqual(allowed, value))) return;
  throw new InferenceError(
    'unsupported_parameter',
    `\`${name}\` is ${show(value)}, which is not supported here. ${note}`.trimEnd(),
    { param: name },
  );
}
