import type { ModelBody, ModelListBody } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import { mayUse } from '../keys/allowed-models.js';
import type { ModelStanding, WorkerDirectory } from '../routing/worker-directory.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import type { Caller } from '../vocabulary.js';
import { modelsFor } from './models-for.js';

/** GET /v1/models and /v1/models/{id}: to a key, the models that it may use. */
export class ManageModels {
  constructor(
    private readonly models: ModelCatalog,
    private readonly directory: WorkerDirectory<WorkerClient>,
  ) {}

  list(caller: Caller): ModelListBody {
    const standings = this.directory.standings().filter(({ model }) => mayUse(caller, model));
    return { object: 'list', data: standings.map(modelBody) };
  }

  retrieve(id: string, caller: Caller): ModelBody {
    const found = modelsFor(caller, this.models).find(id);
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
