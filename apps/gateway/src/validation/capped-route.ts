import type { Chance, ModelCapability } from '@millrace/contracts';
import type { ModelCatalog, Route } from './model-catalog.js';
import { type CappedAsk, overCaps } from './within-caps.js';

/**
 * Who answers a request that asks for so much. A fallback that may not be asked for so much does not stand in.
 *
 * @throws InferenceError as `ModelCatalog.route`, and a 400 with both numbers where the first choice may not be asked for so much.
 */
export function cappedRoute(
  name: string | null | undefined,
  capability: ModelCapability,
  chance: Chance,
  ask: CappedAsk,
  models: ModelCatalog,
): Route {
  const { model, fallbacks } = models.route(name, capability, chance);
  const refusal = overCaps(model.id, models.capsOf(model.id), ask);
  if (refusal !== undefined) throw refusal;
  if (fallbacks.length === 0) return { model, fallbacks };
  return { model, fallbacks: fallbacks.filter(({ id }) => overCaps(id, models.capsOf(id), ask) === undefined) };
}
