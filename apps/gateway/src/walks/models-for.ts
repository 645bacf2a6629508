import { mayUse } from '../keys/allowed-models.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import type { Caller } from '../vocabulary.js';

/** What there is for a caller. */
export function modelsFor(caller: Caller, models: ModelCatalog): ModelCatalog {
  return caller.models === undefined ? models : models.only((named) => mayUse(caller, named));
}
