import { InferenceError, type ModelDescription } from '@millrace/contracts';
import { mayUse } from '../keys/allowed-models.js';
import type { Caller } from '../vocabulary.js';

/** @throws InferenceError `model_not_allowed`. */
export function refuseForbiddenModel(caller: Caller, model: ModelDescription): void {
  if (mayUse(caller, model)) return;
  throw new InferenceError(
    'model_not_allowed',
    `The key ${caller.keyId} (${caller.keyName}) may not use the model \`${model.id}\`. GET /v1/models lists those that it may use.`,
    { param: 'model' },
  );
}
