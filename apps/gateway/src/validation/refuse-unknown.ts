import { InferenceError } from '@millrace/contracts';

const NAME_CHARACTERS_MAX = 100;

/**
 * For what is not in a parameter table: a name that is mistyped would ask for nothing, without a word.
 *
 * @param within the path of `given`; empty: it is the body, or the query.
 * @throws InferenceError a 400 that names the field, and those that there are.
 */
export function refuseUnknown(given: object, known: readonly string[], within = ''): void {
  const name = Object.keys(given).find((one) => !known.includes(one));
  if (name === undefined) return;
  const param = `${within && `${within}.`}${name.slice(0, NAME_CHARACTERS_MAX)}`;
  throw new InferenceError('unknown_parameter', `\`${param}\` is not known here; what there is: ${known.join(', ')}.`, {
    param,
  });
}
