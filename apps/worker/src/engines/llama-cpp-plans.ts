import type { Settings } from '@millrace/contracts';
import type { ChosenModel, LlamaCppModel } from '../models/choose-model.js';
import { type MemoryPlan, planMemory } from '../models/plan-memory.js';
import { planVectorMemory, type VectorMemoryPlan } from '../models/plan-vector-memory.js';
import { vectorBatchSize } from '../token-engine/adapters/llama-cpp/open-llama-cpp-vectors.js';
import type { ModelFile } from '../token-engine/adapters/llama-cpp/read-model-file.js';
import { tokensPerStepMax } from './tokens-per-step.js';

/** What a model takes, and how long its contexts are. */
export interface LlamaCppPlan {
  readonly contextLength: number;
  readonly bytes: number;
  readonly sentence: string;
}

/** Memory that all models together may take, and what is left to everything else. */
export interface PlanBudget {
  readonly atStartBytes: number;
  readonly reserveBytes: number;
}

/** Reads what a file says of itself; its weights include those of the adapters. */
export type ReadFile = (model: LlamaCppModel) => Promise<ModelFile>;

type Plan = MemoryPlan | VectorMemoryPlan;

/** What is left for a model beside the chosen one that would take any context. */
const MODEST_CONTEXT_TOKENS = 512;
/** With less, a model that is loaded on first use is worth that others make room for it. */
const LAZY_CONTEXT_TOKENS_MIN = 2_048;

/**
 * Plans the memory of models that llama.cpp computes.
 *
 * A model without a context of its own could take any, so that it would be another one at every load. It is given its
 * context once, and keeps it while its file stays what it is. What is loaded at the start shares the memory, each leaving
 * room for those behind it. What is loaded later takes what these leave, if that is enough to be of use; else it is
 * planned as if it were alone, and others make room.
 */
export class LlamaCppPlans {
  readonly #made = new Map<string, LlamaCppPlan & { readonly file: string }>();
  readonly #models: readonly LlamaCppModel[];

  /** @param models in the order in which they are loaded. */
  constructor(
    models: readonly ChosenModel[],
    private readonly budget: PlanBudget,
    private readonly settings: Settings,
    private readonly readFile: ReadFile,
  ) {
    this.#models = models.filter((model) => model.engine === 'llama.cpp');
  }

  /** @throws Error in one sentence, with both numbers, when it does not fit even alone. */
  async planFor(model: LlamaCppModel, file: ModelFile): Promise<LlamaCppPlan> {
    const identity = `${file.path} ${file.changedAt} ${file.weightsBytes}`;
    const made = this.#made.get(model.id);
    if (made?.file === identity) return made;
    const plan = model.context === undefined ? await this.#choose(model, file) : this.#plan(model, file, 0);
    if (!plan.fits) throw new Error(plan.sentence);
    const { contextLength, sentence } = plan;
    const kept = { contextLength, sentence, bytes: bytesOf(plan), file: identity };
    this.#made.set(model.id, kept);
    return kept;
  }

  async #choose(model: LlamaCppModel, file: ModelFile): Promise<Plan> {
    const beside = this.#plan(model, file, this.#plannedBytes(model) + (await this.#roomForOthers(model)));
    const enough = Math.min(file.contextTrained, LAZY_CONTEXT_TOKENS_MIN);
    if (beside.fits && (model.loadsAtStart || beside.contextLength >= enough)) return beside;
    const withoutRoom = this.#plan(model, file, model.loadsAtStart ? this.#plannedBytes(model) : 0);
    return withoutRoom.fits ? withoutRoom : this.#plan(model, file, 0);
  }

  /** What those take that are loaded at the start and planned already. */
  #plannedBytes(model: LlamaCppModel): number {
    const others = this.#models.filter((other) => other !== model && other.loadsAtStart);
    return others.reduce((sum, { id }) => sum + (this.#made.get(id)?.bytes ?? 0), 0);
  }

  /** What those will need that are loaded at the start, and later. One that can't be read now needs nothing: it won't open. */
  async #roomForOthers(model: LlamaCppModel): Promise<number> {
    const behind = this.#models.filter((other) => other !== model && other.loadsAtStart && !this.#made.has(other.id));
    const needs = behind.map(async (other) => {
      const file = await this.readFile(other);
      // Of a model that takes what context there is, as little as it would be content with.
      const modest = { ...other, context: other.context ?? Math.min(file.contextTrained, MODEST_CONTEXT_TOKENS) };
      return bytesOf(planOf(modest, file, this.settings, Number.MAX_SAFE_INTEGER, 0));
    });
    const settled = await Promise.allSettled(needs);
    return settled.reduce((sum, need) => sum + (need.status === 'fulfilled' ? need.value : 0), 0);
  }

  #plan(model: LlamaCppModel, file: ModelFile, takenBytes: number): Plan {
    const { atStartBytes, reserveBytes } = this.budget;
    return planOf(model, file, this.settings, Math.max(0, atStartBytes - takenBytes), reserveBytes);
  }
}

function planOf(
  { context, isDefault }: Pick<LlamaCppModel, 'context' | 'isDefault'>,
  model: ModelFile,
  settings: Settings,
  availableBytes: number,
  reserveBytes: number,
): Plan {
  if (model.purpose === 'text') {
    const { maxBatchSize: sequences } = settings;
    const wish = { model, sequences, context, isBeside: !isDefault, availableBytes, reserveBytes };
    return planMemory({ ...wish, tokensPerStepMax: tokensPerStepMax(settings) });
  }
  return planVectorMemory({
    model,
    contexts: settings.embeddingContexts,
    context,
    batchSize: (contextLength) => vectorBatchSize(model, contextLength),
    keepsCache: model.causal,
    availableBytes,
    reserveBytes,
  });
}

function bytesOf(plan: Plan): number {
  if (!plan.fits) return 0;
  return 'bytes' in plan ? plan.bytes : plan.weightsBytes + plan.cacheBytes + plan.computeBytes;
}
