import { InferenceError } from '@millrace/contracts';

/** A worker sent what no worker should. The caller learns that it is no fault of theirs, the log what it was. */
export function malformed(what: string): InferenceError {
  const cause = new Error(`The worker sent ${what}.`);
  return new InferenceError('internal_error', 'The worker failed to answer. Report the x-request-id.', { cause });
}
