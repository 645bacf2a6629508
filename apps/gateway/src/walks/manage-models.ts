import type { ModelBody, ModelDescription, ModelListBody } from '@millrace/contracts';
import type { ModelCatalog } from '../validation/model-catalog.js';

/** GET /v1/models and /v1/models/{id}. */
export class ManageModels {
  constructor(private readonly models: ModelCatalog) {}

  list(): ModelListBody {
    return { object: 'list', data: this.models.list().map(modelBody) };
  }

  retrieve(id: string): ModelBody {
    return modelBody(this.models.find(id));
  }
}

function modelBody(model: ModelDescription): ModelBody {
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'millrace',
    context_length: model.contextLength,
    capabilities: [...model.capabilities],
    ...(model.embeddingLength !== undefined && { embedding_length: model.embeddingLength }),
  };
}
