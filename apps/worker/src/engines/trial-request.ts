import type { KvCacheType } from '@millrace/contracts';
import type { LoraAdapter } from '../models/choose-model.js';
import type { GpuChoice } from '../token-engine/adapters/llama-cpp/llama-instance.js';

/** What the process that tries a model is told: JSON, as its first argument. */
export interface TrialRequest {
  readonly path: string;
  readonly lora: readonly LoraAdapter[];
  readonly kvCacheType: KvCacheType;
  readonly gpu: GpuChoice;
  readonly gpuLayers?: number | undefined;
  readonly threads: number;
}

/** What it says before it ends with a status other than 0, if it can say anything. */
export interface TrialRefusal {
  readonly sentence: string;
}
