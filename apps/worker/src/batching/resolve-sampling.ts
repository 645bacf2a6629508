import type { Sampling } from '@millrace/contracts';
import type { ResolvedSampling } from '../token-engine/token-engine.js';

/** What applies to what a request leaves out: the model's entry, and where that is silent, the settings. */
export interface SamplingDefaults {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
}

/** Every choice filled in. `drawSeed` is asked only when the request brings no seed. */
export function resolveSampling(
  sampling: Sampling,
  defaults: SamplingDefaults,
  drawSeed: () => number,
): ResolvedSampling {
  return {
    temperature: sampling.temperature ?? defaults.temperature,
    topP: sampling.topP ?? defaults.topP,
    topK: sampling.topK ?? defaults.topK,
    minP: sampling.minP ?? defaults.minP,
    seed: sampling.seed ?? drawSeed(),
    presencePenalty: sampling.presencePenalty ?? 0,
    frequencyPenalty: sampling.frequencyPenalty ?? 0,
  };
}
