import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  type KvCacheType,
  type ModelEntry,
  type ModelsFile,
  type Settings,
  servedByGateway,
  type UpstreamEntry,
} from '@millrace/contracts';
import { ConfigurationError, modelNameOf, namesFile } from '@millrace/runtime';
import { refuseDamagedFile } from './refuse-damaged-file.js';
import { sentenceOf } from './sentence-of.js';

/** A model that this worker serves, with everything that settings and the models file say about it. */
export type ChosenModel = LlamaCppModel | UpstreamModel | OpenVinoModel | RegisteredModel;

interface ChosenFacts {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Tokens a sequence may hold. Absent: the most that the model was made for and the memory holds. */
  readonly context: number | undefined;
  readonly sampling: {
    readonly temperature: number;
    readonly topP: number;
    readonly topK: number;
    readonly minP: number;
  };
  readonly maxTokens: number | undefined;
  /** Whether it answers requests that name no model. */
  readonly isDefault: boolean;
  /** Whether it is loaded at the start; others are on first use. */
  readonly loadsAtStart: boolean;
  /** After how long without use it is unloaded; 0: never for that. */
  readonly idleUnloadMs: number;
}

export interface LlamaCppModel extends ChosenFacts {
  readonly engine: 'llama.cpp';
  /** Absolute. */
  readonly path: string;
  /** Replaces the chat template of the file. */
  readonly chatTemplate: string | undefined;
  /** Their paths are absolute. */
  readonly lora: readonly LoraAdapter[];
  readonly kvCacheType: KvCacheType;
}

export interface LoraAdapter {
  readonly path: string;
  readonly scale: number;
}

/** Another server runs it. */
export interface UpstreamModel extends ChosenFacts {
  readonly engine: 'openai-compatible';
  readonly upstream: UpstreamEntry;
}

export interface OpenVinoModel extends ChosenFacts {
  readonly engine: 'openvino';
  /** The model's folder; absolute. */
  readonly path: string;
  readonly device: string;
}

/** A model of the registry, which says what its file is and by what it is run. */
export interface RegisteredModel extends ChosenFacts {
  readonly engine: 'registry';
  /** Its id there. */
  readonly registry: string;
  readonly chatTemplate: string | undefined;
  readonly lora: readonly LoraAdapter[];
  readonly kvCacheType: KvCacheType;
  readonly device: string;
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
  | 'idleUnloadMs'
>;

/**
 * Everything that this worker serves: first the model that is chosen, then the models file's warm ones, then the rest,
 * each in its order. Two entries may share a file: they are two models. What the gateway serves itself is none of a worker's
 * models; where one of those is chosen, it is the default of the gateway's, and none of these is.
 *
 * @param modelsFile as for `chooseModel`.
 * @param registered ids of the registry, of which one may be chosen.
 * @throws ConfigurationError as `chooseModel`, and when two of them would be called the same.
 */
export function chooseModels(
  settings: ChoiceSettings,
  modelsFile: ModelsFile | undefined,
  workingFolder: string,
  registered: readonly string[] = [],
): readonly [ChosenModel, ...ChosenModel[]] {
  const folder = folderOf(settings, workingFolder);
  const { entry: chosenEntry, model: chosen } = choose(settings, modelsFile, workingFolder, registered);
  const others = (modelsFile?.models ?? [])
    .filter((entry) => entry !== chosenEntry && !servedByGateway(entry))
    .map((entry) => modelOf(entry, folder, forOthers(settings), false));
  const inOrder = [...others.filter((model) => model.loadsAtStart), ...others.filter((model) => !model.loadsAtStart)];
  if (chosenEntry !== undefined && servedByGateway(chosenEntry)) return withoutChosen(inOrder, settings);
  refuseSameNames(chosen, inOrder);
  return [chosen, ...inOrder];
}

function withoutChosen(
  [first, ...others]: readonly ChosenModel[],
  { modelsFile }: ChoiceSettings,
): readonly [ChosenModel, ...ChosenModel[]] {
  // Loaded at the start like any that is chosen: a worker that has loaded nothing would not know whether it can.
  if (first !== undefined) return [{ ...first, loadsAtStart: true }, ...others];
  throw new ConfigurationError([
    `${modelsFile} has no model for a worker: the gateway serves all of them itself. Start the gateway alone, or add a model that a worker runs.`,
  ]);
}

/** `modelId` and `context` are about the model that was chosen, not about those beside it. */
function forOthers(settings: ChoiceSettings): ChoiceSettings {
  return { ...settings, modelId: undefined, context: undefined };
}

/** The models file itself has no name twice; a file that is chosen, or a name that it is given, may repeat one. */
function refuseSameNames(chosen: ChosenModel, others: readonly ChosenModel[]): void {
  const taken = new Set([chosen.id, ...chosen.aliases]);
  for (const { id, aliases } of others) {
    const name = [id, ...aliases].find((each) => taken.has(each));
    if (name === undefined) continue;
    const what = 'path' in chosen ? chosen.path : `The model ${chosen.id}`;
    throw new ConfigurationError([
      `${what} would be served as "${name}", which is also a name of the model ${id} of the models file. Give it another name with --model-id, or take ${id} out of the models file.`,
    ]);
  }
}

/**
 * Chooses the model that answers by default. A `model` that names a file needs no entry; but if an entry has that file,
 * its context, template and defaults apply.
 *
 * @param modelsFile absent when it was not read, which only a `model` that names a file allows.
 * @throws ConfigurationError in a sentence that says which models there are.
 */
export function chooseModel(
  settings: ChoiceSettings,
  modelsFile: ModelsFile | undefined,
  workingFolder: string,
): ChosenModel {
  return choose(settings, modelsFile, workingFolder).model;
}

/** What llama.cpp is told of a model that no entry is about. */
const PLAIN = { chatTemplate: undefined, lora: [], kvCacheType: 'f16' } as const;

interface Choice {
  /** Absent where a file without one was chosen. */
  readonly entry: ModelEntry | undefined;
  readonly model: ChosenModel;
}

function choose(
  settings: ChoiceSettings,
  modelsFile: ModelsFile | undefined,
  workingFolder: string,
  registered: readonly string[] = [],
): Choice {
  const { model } = settings;
  const folder = folderOf(settings, workingFolder);
  const entries = modelsFile?.models ?? [];
  if (model === undefined || !namesFile(model)) {
    const isListed = entries.some(({ id, aliases }) => id === model || aliases.includes(model ?? ''));
    if (!isListed && model !== undefined && registered.includes(model))
      return { entry: undefined, model: registeredUnder(model, settings, true) };
    const entry = chooseEntry(model ?? modelsFile?.defaultModel, entries, settings.modelsFile, registered);
    return { entry, model: modelOf(entry, folder, settings, true) };
  }
  const path = resolve(workingFolder, model);
  const entry = entries.find((each) => each.path !== undefined && resolve(folder, each.path) === path);
  if (entry !== undefined) return { entry, model: modelOf(entry, folder, settings, true) };
  const unlisted = { id: modelNameOf(path), aliases: [], defaults: {} };
  const facts = factsOf(unlisted, settings, true);
  return { entry, model: { ...facts, engine: 'llama.cpp', path, ...PLAIN } };
}

/** A model of the registry that the models file says nothing of. */
export function registeredUnder(id: string, settings: ChoiceSettings, isChosen: boolean): RegisteredModel {
  const facts = factsOf({ id, aliases: [], defaults: {} }, isChosen ? settings : forOthers(settings), isChosen);
  return { ...facts, engine: 'registry', registry: id, ...PLAIN, device: 'CPU' };
}

function folderOf({ modelsFile }: ChoiceSettings, workingFolder: string): string {
  return dirname(resolve(workingFolder, modelsFile));
}

function chooseEntry(
  name: string | undefined,
  entries: readonly ModelEntry[],
  file: string,
  registered: readonly string[],
): ModelEntry {
  const ids = entries.map(({ id }) => id).join(', ');
  if (name === undefined) {
    const ours = entries.filter((entry) => !servedByGateway(entry));
    if (ours.length === 1) return ours[0]!;
    if (ours.length === 0 && entries.length > 0) return entries[0]!; // None of them is a worker's, which is said later.
    throw new ConfigurationError([
      `${file} has several models and no defaultModel: ${ids}. Choose one with --model, or set defaultModel.`,
    ]);
  }
  const entry = entries.find(({ id, aliases }) => id === name || aliases.includes(name));
  if (entry !== undefined) return entry;
  const others = registered.length === 0 ? '' : ` The registry has: ${registered.join(', ')}.`;
  throw new ConfigurationError([
    `${file} has no model "${name}"; it has: ${ids}.${others} Choose one of these, or give the path of a .gguf file.`,
  ]);
}

/** `entry` is valid, so that it has what its engine needs. */
function modelOf(entry: ModelEntry, folder: string, settings: ChoiceSettings, isChosen: boolean): ChosenModel {
  const facts = factsOf(entry, settings, isChosen);
  const { engine, chatTemplate, registry, kvCacheType = PLAIN.kvCacheType } = entry;
  const lora = entry.lora.map(({ path, scale }) => ({ path: resolve(folder, path), scale }));
  if (registry !== undefined) {
    const device = entry.openvino?.device ?? 'CPU';
    return { ...facts, engine: 'registry', registry, chatTemplate, lora, kvCacheType, device };
  }
  switch (engine) {
    case 'llama.cpp':
      return { ...facts, engine, path: resolve(folder, entry.path!), chatTemplate, lora, kvCacheType };
    case 'openai-compatible':
      return { ...facts, engine, upstream: entry.upstream! };
    case 'openvino':
      return { ...facts, engine, path: resolve(folder, entry.path!), device: entry.openvino?.device ?? 'CPU' };
  }
}

type EntryFacts = Pick<ModelEntry, 'id' | 'aliases' | 'defaults'> &
  Partial<Pick<ModelEntry, 'context' | 'warm' | 'idleUnloadMs'>>;

function factsOf(entry: EntryFacts, settings: ChoiceSettings, isChosen: boolean): ChosenFacts {
  const { defaults } = entry;
  return {
    id: settings.modelId ?? entry.id,
    aliases: entry.aliases.filter((alias) => alias !== settings.modelId),
    context: settings.context ?? entry.context,
    sampling: {
      temperature: defaults.temperature ?? settings.defaultTemperature,
      topP: defaults.topP ?? settings.defaultTopP,
      topK: defaults.topK ?? settings.defaultTopK,
      minP: defaults.minP ?? 0,
    },
    maxTokens: defaults.maxTokens ?? settings.defaultMaxTokens,
    isDefault: isChosen,
    loadsAtStart: isChosen || entry.warm === true,
    idleUnloadMs: entry.idleUnloadMs ?? settings.idleUnloadMs,
  };
}

/**
 * Looks at the file of the model that was chosen: one that is missing or no model is said before the worker listens, for
 * waiting mends neither.
 *
 * @throws ConfigurationError
 */
export async function refuseUnusableFile(chosen: ChosenModel): Promise<void> {
  // One of the registry is looked at when it was brought here.
  if (chosen.engine === 'openai-compatible' || chosen.engine === 'registry') return;
  if (!existsSync(chosen.path)) {
    throw new ConfigurationError([`The model file ${chosen.path} can't be read. Check the path.`]);
  }
  if (chosen.engine === 'openvino') return;
  try {
    await refuseDamagedFile(chosen.path);
  } catch (error) {
    throw new ConfigurationError([sentenceOf(error)]);
  }
}
