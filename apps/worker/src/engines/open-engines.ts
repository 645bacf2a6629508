import { availableParallelism } from 'node:os';
import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import type { ChosenModel } from '../models/choose-model.js';
import type { LibraryModel } from '../models/library-model.js';
import type { MemoryBudget } from '../models/memory-budget.js';
import type { RegisteredModels } from '../models/registered-models.js';
import type { PromptWork } from '../prompt/process/prompt-work.js';
import { LlamaCppModels } from './llama-cpp-models.js';
import { openVinoModel } from './openvino-models.js';
import { registeredModel } from './registered-models.js';
import { upstreamModel } from './upstream-models.js';

export interface EngineParts {
  readonly settings: Settings;
  readonly budget: MemoryBudget;
  /** Renders prompts and compiles grammars for every model. */
  readonly prompts: PromptWork;
  readonly metrics: WorkerMetrics;
  /** Where keys of other servers are, and what engines look at. */
  readonly environment: NodeJS.ProcessEnv;
  /** What the registry and the bucket have. */
  readonly registered: RegisteredModels;
  readonly logger: Logger;
}

/** Makes of a model what the library can load. */
export type MakeLibraryModel = (model: ChosenModel) => LibraryModel;

/** Each model with the engine that its entry names. @param models those that are known at the start. */
export function libraryModelMaker(models: readonly ChosenModel[], parts: EngineParts): MakeLibraryModel {
  const { settings } = parts;
  const threads = settings.threads ?? Math.max(1, availableParallelism() - 1);
  const llamaCpp = new LlamaCppModels({ ...parts, models, threads });
  const make: MakeLibraryModel = (model) => {
    switch (model.engine) {
      case 'llama.cpp':
        return llamaCpp.libraryModel(model);
      case 'openai-compatible':
        return upstreamModel(model, parts);
      case 'openvino':
        return openVinoModel(model, parts);
      case 'registry':
        return registeredModel(model, parts.registered, make);
    }
  };
  return make;
}
