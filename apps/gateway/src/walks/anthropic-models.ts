import {
  type AnthropicModelBody,
  type AnthropicModelListBody,
  anthropicModelsQuerySchema,
  InferenceError,
  type ModelBody,
} from '@millrace/contracts';
import { checkShape } from '../validation/check-shape.js';
import type { Caller } from '../vocabulary.js';
import type { ManageModels } from './manage-models.js';

/** GET /v1/models and /v1/models/{id} as Anthropic's clients read them. */
export class AnthropicModels {
  constructor(private readonly manageModels: Pick<ManageModels, 'list' | 'retrieve'>) {}

  list(query: unknown, caller: Caller): AnthropicModelListBody {
    const { limit, after_id, before_id } = checkShape(anthropicModelsQuerySchema, query ?? {});
    const all = this.manageModels.list(caller).data.map(modelBody);
    const from = after_id === undefined ? 0 : placeOf(all, after_id, 'after_id') + 1;
    const to = before_id === undefined ? all.length : placeOf(all, before_id, 'before_id');
    const asked = all.slice(from, to);
    // Before one, those next to it; else from the first on.
    const backwards = before_id !== undefined && after_id === undefined;
    const data = backwards ? asked.slice(-limit) : asked.slice(0, limit);
    return {
      data,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
      has_more: asked.length > data.length,
    };
  }

  retrieve(id: string, caller: Caller): AnthropicModelBody {
    return modelBody(this.manageModels.retrieve(id, caller));
  }
}

function placeOf(models: readonly AnthropicModelBody[], id: string, param: string): number {
  const place = models.findIndex((model) => model.id === id);
  if (place !== -1) return place;
  throw new InferenceError('invalid_request', `\`${param}\` is the id of no model that is listed here.`, { param });
}

function modelBody({ id, created, context_length }: ModelBody): AnthropicModelBody {
  return {
    type: 'model',
    id,
    display_name: id,
    created_at: new Date(created * 1_000).toISOString(),
    max_input_tokens: context_length ?? null,
    max_tokens: context_length ?? null,
    capabilities: null,
    line: null,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
  };
}
