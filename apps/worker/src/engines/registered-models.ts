import type { ModelCapability, ModelDescription } from '@millrace/contracts';
import type { RegistryEntry } from '@millrace/storage';
import type { LlamaCppModel, OpenVinoModel, RegisteredModel } from '../models/choose-model.js';
import type { LibraryModel } from '../models/library-model.js';
import type { RegisteredModels } from '../models/registered-models.js';

/** As the registry tells it, before anybody has looked at the file. */
const CAPABILITIES: Readonly<Record<RegistryEntry['task'], readonly ModelCapability[]>> = {
  chat: ['chat', 'completion'],
  completion: ['chat', 'completion'],
  embedding: ['embedding', 'rerank'],
  rerank: ['rerank'],
};

/**
 * A model of the registry: where its file is, and by what it is run, is known once it was brought here.
 *
 * @param build the same with a file that is here.
 */
export function registeredModel(
  model: RegisteredModel,
  registered: RegisteredModels,
  build: (model: LlamaCppModel | OpenVinoModel) => LibraryModel,
): LibraryModel {
  const { id, aliases, isDefault, loadsAtStart, idleUnloadMs, registry } = model;
  let brought: { readonly model: LibraryModel; readonly version: string; readonly path: string } | undefined;
  const here = () => {
    if (brought === undefined) throw new Error(`The model ${id} was not brought here.`);
    return brought.model;
  };
  return {
    ...{ id, aliases, isDefault, loadsAtStart, idleUnloadMs, isElsewhere: false },
    get foreseen() {
      return foreseen(model, registered.listed.get(registry)?.entry);
    },
    // Another entry is another model, though nobody has brought it yet.
    stamp: async () => {
      const entry = registered.listed.get(registry)?.entry;
      const version = entry && versionOf(entry);
      return brought === undefined || brought.version !== version
        ? `version ${version}`
        : `version ${version}\n${await brought.model.stamp()}`;
    },
    bring: async (report, signal) => {
      const held = await registered.bring(registry, report, signal);
      const { entry, path } = held;
      const version = versionOf(entry);
      // The same model may lie elsewhere by now, as in the cache of the bucket.
      if (brought?.version !== version || brought.path !== path)
        brought = { model: build(withFile(model, entry, path)), version, path };
      return held;
    },
    look: (signal) => here().look(signal),
  };
}

/** Added anew, the same files may have another template or task. */
function versionOf({ digest, added }: RegistryEntry): string {
  return `${digest} ${added}`;
}

function withFile(model: RegisteredModel, entry: RegistryEntry, path: string): LlamaCppModel | OpenVinoModel {
  const { registry: _registry, chatTemplate, lora, kvCacheType, device, ...facts } = model;
  switch (entry.format) {
    case 'gguf':
      return {
        ...{ ...facts, engine: 'llama.cpp', path, lora, kvCacheType },
        chatTemplate: chatTemplate ?? entry.template ?? undefined,
      };
    case 'openvino':
      return { ...facts, engine: 'openvino', path, device };
    default:
      throw new Error(`it is of the format ${entry.format}, and gguf and openvino are those that can be run.`);
  }
}

function foreseen(model: RegisteredModel, entry: RegistryEntry | undefined): ModelDescription | undefined {
  if (entry === undefined) return undefined;
  const { id, aliases, isDefault, context, sampling, maxTokens } = model;
  const generates = entry.task === 'chat' || entry.task === 'completion';
  return {
    ...{ id, aliases, isDefault, contextLength: context ?? 0, capabilities: CAPABILITIES[entry.task] },
    ...{
      engine: entry.format === 'openvino' ? 'openvino' : 'llama.cpp',
      created: Math.floor(Date.parse(entry.added) / 1_000),
    },
    samplingDefaults: generates ? sampling : {},
    maxTokensDefault: generates ? maxTokens : undefined,
  };
}
