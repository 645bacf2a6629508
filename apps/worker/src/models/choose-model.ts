import { dirname, resolve } from 'node:path';
import type { ModelEntry, ModelsFile, Settings } from '@millrace/contracts';
import { ConfigurationError, modelNameOf, namesFile } from '@millrace/runtime';

/** A model that this worker serves, with everything that settings and the models file say about it. */
export interface ChosenModel {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Absolute. */
  readonly path: string;
  /** Tokens a sequence may hold. Absent: the most that the model was made for and the memory holds. */
  readonly context: number | undefined;
  /** Replaces the chat template of the file. */
  readonly chatTemplate: string | undefined;
  readonly sampling: {
    readonly temperature: number;
    readonly topP: number;
    readonly topK: number;
    readonly minP: number;
  };
  readonly maxTokens: number | undefined;
  /** Whether it answers requests that name no model. */
  readonly isDefault: boolean;
}

export type ChoiceSettings = Pick<
  Settings,
  | 'modelsFile'
  | 'model'
  | 'modelId'
  | 'context'
  | 'defaultMaxTokens'
  | 'defaultTemperature'
  | 'defaultTopP'
  | 'defaultTopK'
>;

/**
 * Everything to load: first the model that is chosen, then the models file's warm ones, in its order.
 *
 * @param modelsFile as for `chooseModel`.
 * @throws ConfigurationError as `chooseModel`, and when two of them would be called the same.
 */
export function chooseModels(
  settings: ChoiceSettings,
  modelsFile: ModelsFile | undefined,
  workingFolder: string,
): readonly [ChosenModel, ...ChosenModel[]] {
  const chosen = chooseModel(settings, modelsFile, workingFolder);
  const folder = dirname(resolve(workingFolder, settings.modelsFile));
  const warm = (modelsFile?.models ?? [])
    .filter(hasPath)
    .filter((entry) => entry.warm)
    .map((entry) => ({ ...withSettings(entry, resolve(folder, entry.path), forWarm(settings)), isDefault: false }))
    // The chosen one may be a warm entry itself, also by its file.
    .filter(({ path }) => path !== chosen.path);
  refuseSameNames(chosen, warm);
  return [chosen, ...warm];
}

function hasPath(entry: ModelEntry): entry is ModelEntry & { readonly path: string } {
  return entry.path !== undefined;
}

/** `modelId` and `context` are about the model that was chosen, not about those beside it. */
function forWarm(settings: ChoiceSettings): ChoiceSettings {
  return { ...settings, modelId: undefined, context: undefined };
}

function refuseSameNames(chosen: ChosenModel, warm: readonly ChosenModel[]): void {
  const taken = new Set([chosen.id, ...chosen.aliases]);
  for (const { id, aliases } of warm) {
    const name = [id, ...aliases].find((each) => taken.has(each));
    if (name === undefined) continue;
    throw new ConfigurationError([
      `${chosen.path} would be served as "${name}", which is also a name of the model ${id}, loaded beside it. Give it another name with --model-id, or set \`warm: false\` at ${id} in the models file.`,
    ]);
  }
}

/**
 * Chooses what to load. A `model` that names a file needs no entry; but if an entry has that file, its context,
 * template and defaults apply.
 *
 * @param modelsFile absent when it was not read, which only a `model` that names a file allows.
 * @throws ConfigurationError in a sentence that says which models there are.
 */
export function chooseModel(
  settings: ChoiceSettings,
  modelsFile: ModelsFile | undefined,
  workingFolder: string,
): ChosenModel {
  const { model } = settings;
  const folder = dirname(resolve(workingFolder, settings.modelsFile));
  const entries = modelsFile?.models ?? [];
  if (model !== undefined && namesFile(model)) {
    const path = resolve(workingFolder, model);
    const entry = entries.find((each) => each.path !== undefined && resolve(folder, each.path) === path);
    return withSettings(entry ?? { id: modelNameOf(path), aliases: [], defaults: {} }, path, settings);
  }
  const entry = chooseEntry(model ?? modelsFile?.defaultModel, entries, settings.modelsFile);
  return withSettings(entry, resolve(folder, entry.path ?? ''), settings);
}

function chooseEntry(name: string | undefined, entries: readonly ModelEntry[], file: string): ModelEntry {
  const ids = entries.map(({ id }) => id).join(', ');
  if (name === undefined) {
    if (entries.length === 1) return entries[0]!;
    throw new ConfigurationError([
      `${file} has several models and no defaultModel: ${ids}. Choose one with --model, or set defaultModel.`,
    ]);
  }
  const entry = entries.find(({ id, aliases }) => id === name || aliases.includes(name));
  if (entry !== undefined) return entry;
  throw new ConfigurationError([
    `${file} has no model "${name}"; it has: ${ids}. Choose one of these, or give the path of a .gguf file.`,
  ]);
}

type EntryFacts = Pick<ModelEntry, 'id' | 'aliases' | 'defaults' | 'context' | 'chatTemplate'>;

function withSettings(entry: EntryFacts, path: string, settings: ChoiceSettings): ChosenModel {
  const { defaults } = entry;
  return {
    id: settings.modelId ?? entry.id,
    aliases: entry.aliases.filter((alias) => alias !== settings.modelId),
    path,
    context: settings.context ?? entry.context,
    chatTemplate: entry.chatTemplate,
    sampling: {
      temperature: defaults.temperature ?? settings.defaultTemperature,
      topP: defaults.topP ?? settings.defaultTopP,
      topK: defaults.topK ?? settings.defaultTopK,
      minP: defaults.minP ?? 0,
    },
    maxTokens: defaults.maxTokens ?? settings.defaultMaxTokens,
    isDefault: true,
  };
}
