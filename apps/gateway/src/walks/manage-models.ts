import type { ModelBody, ModelListBody } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { ModelStanding, WorkerDirectory } from '../routing/worker-directory.js';
import type { ModelCatalog } from '../validation/model-catalog.js';

/** GET /v1/models and /v1/models/{id}. */
export class ManageModels {
  constructor(
    private readonly models: ModelCatalog,
    private readonly directory: WorkerDirectory<WorkerClient>,
  ) {}

  list(): ModelListBody {
    return { object: 'list', data: this.directory.standings().map(modelBody) };
  }

  retrieve(id: string): ModelBody {
    const found = this.models.find(id);
    return modelBody(this.directory.standings().find(({ model }) => model.id === found.id)!);
  }
}

function modelBody({ model, state }: ModelStanding): ModelBody {
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'millrace',
    ...(model.contextLength > 0 && { context_length: model.contextLength }),
    capabilities: [...model.capabilities],
    ...(model.embeddingLength !== undefined && { embedding_length: model.embeddingLength }),
    state,
  };
}
