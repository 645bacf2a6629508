import {
  type ModelCaps,
  type ModelDescription,
  type ModelEntry,
  ModelRoutes,
  type ModelsFile,
  type Sampling,
} from '@millrace/contracts';

/** What a models file says, made ready to be looked up. */
export interface FileTables {
  readonly file: ModelsFile;
  readonly routes: ModelRoutes;
  readonly entries: ReadonlyMap<string, ModelEntry>;
  /** Ids of those whose workers come when somebody waits for them. */
  readonly resting: ReadonlySet<string>;
  readonly described: WeakMap<ModelDescription, ModelDescription>;
}

const tables = new WeakMap<ModelsFile, FileTables>();
const NO_CAPS: ModelCaps = {};

/** Made once for each file: the next edit brings another. */
export function tablesOf(file: ModelsFile): FileTables {
  let made = tables.get(file);
  if (made === undefined) {
    const entries = new Map(file.models.map((model) => [model.id, model]));
    const resting = new Set(file.models.filter(({ restsAtZero }) => restsAtZero).map(({ id }) => id));
    made = { file, routes: new ModelRoutes(file), entries, resting, described: new WeakMap() };
    tables.set(file, made);
  }
  return made;
}

export function capsOf({ entries }: FileTables, id: string): ModelCaps {
  return entries.get(id)?.caps ?? NO_CAPS;
}

/** A model as its workers describe it, with what the file says otherwise. The same object for the same two. */
export function withFile({ entries, described }: FileTables, model: ModelDescription): ModelDescription {
  const entry = entries.get(model.id);
  if (entry === undefined) return model;
  let made = described.get(model);
  if (made === undefined) {
    made = describe(model, entry);
    described.set(model, made);
  }
  return made;
}

function describe(model: ModelDescription, entry: ModelEntry): ModelDescription {
  const aliases = [...new Set([...model.aliases, ...entry.aliases])];
  const { maxTokens: defaultMaxTokens, ...sampling } = entry.defaults;
  const changed = Object.entries(sampling).filter(
    ([name, value]) => value !== undefined && !alike(value, model.samplingDefaults[name as keyof typeof sampling]),
  );
  const maxTokens = least(defaultMaxTokens ?? model.maxTokensDefault, entry.caps.maxTokens);
  const maxTokensChanged = maxTokens !== undefined && maxTokens !== model.maxTokensDefault;
  if (changed.length === 0 && !maxTokensChanged) {
    return aliases.length === model.aliases.length ? model : { ...model, aliases };
  }
  const overriding: Sampling = Object.fromEntries(changed);
  return {
    ...model,
    aliases,
    // Whoever reads the defaults, as the cache does, finds those that are in force.
    samplingDefaults: { ...model.samplingDefaults, ...overriding },
    maxTokensDefault: maxTokens,
    overrides: { sampling: overriding, maxTokens: maxTokensChanged ? maxTokens : undefined },
  };
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

/** What came over the protocol has 32 bits. */
function alike(one: number, other: unknown): boolean {
  return typeof other === 'number' && Math.fround(one) === Math.fround(other);
}
