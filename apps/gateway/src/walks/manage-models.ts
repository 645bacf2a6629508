import type {
  AliasEntry,
  ModelBody,
  ModelDescription,
  ModelEntry,
  ModelListBody,
  ModelRoutes,
  ModelsFile,
} from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import { entryOf, type ModelsInForce } from '../routing/models-in-force.js';
import type { ModelStanding, WorkerDirectory } from '../routing/worker-directory.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { tablesOf } from '../validation/models-in-file.js';
import type { Caller } from '../vocabulary.js';
import { modelsFor } from './models-for.js';

/** GET /v1/models and /v1/models/{id}: to a key, what it may ask for. */
export class ManageModels {
  constructor(
    private readonly models: ModelCatalog,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly inForce: ModelsInForce,
  ) {}

  list(caller: Caller): ModelListBody {
    const catalog = modelsFor(caller, this.models);
    const standings = this.#standings();
    const file = this.inForce.current;
    const { routes } = tablesOf(file);
    // A name of the file means what the file says: a worker's model of the same name can't be asked for by it.
    const own = standings.filter(({ model: { id } }) => !routes.isAlias(id) && catalog.mayAskFor(id));
    const aliases = file.aliases.filter(({ name }) => catalog.mayAskFor(name));
    return {
      object: 'list',
      data: [
        ...own.map((standing) => modelBody(standing, file)),
        ...aliases.flatMap((alias) => aliasBody(alias, routes, standings) ?? []),
      ],
    };
  }

  retrieve(id: string, caller: Caller): ModelBody {
    const catalog = modelsFor(caller, this.models);
    const standings = this.#standings();
    const file = this.inForce.current;
    const { routes, resting } = tablesOf(file);
    const own = routes.modelOf(id) ?? id;
    // Of what rests no worker tells; a name that the caller may not ask for is refused there.
    const foundId = resting.has(own) && catalog.mayAskFor(id) ? own : catalog.find(id).id;
    const alias = file.aliases.find(({ name }) => name === id);
    const body = alias && aliasBody(alias, routes, standings);
    return body ?? modelBody(standings.find(({ model }) => model.id === foundId)!, file);
  }

  /** Of those that rest at zero as well, as far as the file tells: nobody could choose them else. */
  #standings(): readonly ModelStanding[] {
    const known = this.directory.standings();
    const { resting, entries } = tablesOf(this.inForce.current);
    if (resting.size === 0) return known;
    const ids = new Set(known.flatMap(({ model: { id, aliases } }) => [id, ...aliases]));
    const away = [...resting].filter((id) => !ids.has(id)).map((id) => atRest(entries.get(id)!));
    return [...known, ...away];
  }
}

function atRest({ id, aliases, context = 0, upstream, engine }: ModelEntry): ModelStanding {
  const model: ModelDescription = {
    id,
    aliases,
    contextLength: context,
    capabilities: upstream?.capabilities ?? [],
    engine,
    created: 0,
    samplingDefaults: {},
    isDefault: false,
  };
  return { model, state: 'unavailable', detail: '', servable: false };
}

function modelBody({ model, state }: ModelStanding, file: ModelsFile): ModelBody {
  const fallbacks = entryOf(file, model.id)?.fallbacks ?? [];
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'millrace',
    ...(model.contextLength > 0 && { context_length: model.contextLength }),
    capabilities: [...model.capabilities],
    ...(model.embeddingLength !== undefined && { embedding_length: model.embeddingLength }),
    ...(fallbacks.length > 0 && { fallbacks }),
    state,
  };
}

/** It can do what the models that it stands for can all do, and its state is the best of theirs. Undefined: nobody knows any of them. */
function aliasBody(
  { name, targets, fallbacks }: AliasEntry,
  routes: ModelRoutes,
  standings: readonly ModelStanding[],
): ModelBody | undefined {
  const standingOf = (id: string) => standings.find(({ model }) => model.id === id || model.aliases.includes(id));
  const all = routes.targetsOf(name).flatMap((id) => standingOf(id) ?? []);
  // What nobody has told of yet takes nothing from what the others can do.
  const told = all.filter(({ model }) => model.capabilities.length > 0);
  const known = told.length > 0 ? told : all;
  const [best] = [...known].sort((one, other) => STATES.indexOf(one.state) - STATES.indexOf(other.state));
  if (best === undefined) return undefined;
  const models = known.map(({ model }) => model);
  const contexts = models.map(({ contextLength }) => contextLength);
  return {
    id: name,
    object: 'model',
    created: Math.max(...models.map(({ created }) => created)),
    owned_by: 'millrace',
    // The least of them: what fits there fits wherever the request goes.
    ...(Math.min(...contexts) > 0 && { context_length: Math.min(...contexts) }),
    capabilities: models[0]!.capabilities.filter((one) => models.every((model) => model.capabilities.includes(one))),
    stands_for: targets.map(({ model, weight }) => ({ model, weight })),
    ...(fallbacks.length > 0 && { fallbacks }),
    state: best.state,
  };
}

/** From the best on. */
const STATES: readonly ModelStanding['state'][] = ['loaded', 'loading', 'idle', 'failed', 'unavailable'];
