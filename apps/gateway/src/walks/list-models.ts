import type { ModelBody, ModelDescription, PlainModelBody, PlainModelListBody } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { Caller } from '../vocabulary.js';
import type { ManageModels } from './manage-models.js';
import { providerOf } from './plain-chat.js';

/** GET /models: every name that a caller may ask for, and who answers to it. */
export class ListModels {
  constructor(
    private readonly manageModels: Pick<ManageModels, 'list'>,
    private readonly directory: Pick<WorkerDirectory<WorkerClient>, 'models'>,
  ) {}

  run(caller: Caller): PlainModelListBody {
    const { data } = this.manageModels.list(caller);
    const described = new Map((this.directory.models() ?? []).map((model) => [model.id, model]));
    const taken = new Set(data.map(({ id }) => id));
    const names = data.flatMap((body) => {
      const model = answering(body, described, data);
      const aliases = described.get(body.id)?.aliases ?? [];
      const own = plainBody(body, model, aliases);
      // A further name is a name of its own to whoever looks for it in the list.
      const further = aliases
        .filter((alias) => !taken.has(alias))
        .map((alias) => ({ ...own, id: alias, aliases: [], stands_for: [{ model: body.id, weight: 1 }] }));
      return [own, ...further];
    });
    return { object: 'list', data: names };
  }
}

function plainBody(body: ModelBody, model: ModelDescription | undefined, aliases: readonly string[]): PlainModelBody {
  const upstream = model?.provider?.model ?? model?.id ?? body.id;
  return { ...body, provider: providerOf(model), upstream_model: upstream, aliases: [...aliases] };
}

/** The longest chain of aliases that is followed. */
const CHAIN_MAX = 8;

/** The model itself; of an alias, the heaviest that it stands for. */
function answering(
  body: ModelBody,
  described: ReadonlyMap<string, ModelDescription>,
  listed: readonly ModelBody[],
): ModelDescription | undefined {
  let current: ModelBody | undefined = body;
  for (let steps = 0; current !== undefined && steps < CHAIN_MAX; steps++) {
    const targets: ModelBody['stands_for'] = current.stands_for;
    if (targets === undefined) return described.get(current.id);
    const name: string = [...targets].sort((one, other) => other.weight - one.weight)[0]!.model;
    const byName = described.get(name) ?? [...described.values()].find(({ aliases }) => aliases.includes(name));
    if (byName !== undefined) return byName;
    current = listed.find(({ id }) => id === name);
  }
  return undefined;
}
