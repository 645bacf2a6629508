import { mixSeed } from '../../mix-seed.js';
import type { ResolvedSampling } from '../../token-engine.js';
import type { AddonSampler, SamplerConfig } from './addon.js';

/** Below this, dividing by the temperature overflows 32-bit floats; the likeliest token has won long before. */
const TEMPERATURE_MIN = 1e-6;

/** Seeds llama.cpp reads as "draw one yourself" (`LLAMA_DEFAULT_SEED`). */
const SEED_BY_CLOCK = 0xffffffff;

/**
 * How one place chooses: llama.cpp's own samplers, set up anew for each token.
 *
 * Anew, because the choice at a position must depend on the seed and the position only. llama.cpp's generator would
 * carry its state from token to token, and an answer that goes on elsewhere could not catch up with it. Setting up costs
 * about 5 µs per token (docs/concepts/engine.md).
 *
 * The order is llama.cpp's: penalties, top_k, top_p, min_p, temperature, draw.
 */
export class PlaceSampler {
  #sampling: ResolvedSampling | undefined;
  // The answer so far, for the penalties. Grows by doubling, so that a step copies nothing.
  #answer = new Uint32Array(64);
  #length = 0;

  constructor(
    private readonly sampler: AddonSampler,
    private readonly contextLength: number,
  ) {}

  prepare(sampling: ResolvedSampling, chosen: readonly number[]): void {
    this.#sampling = sampling;
    this.#length = 0;
    for (const token of chosen) this.accept(token);
  }

  /** The addon's sampler, ready for the next token of the answer. */
  next(): AddonSampler {
    this.sampler.applyConfig(this.#config(this.#sampling!));
    return this.sampler;
  }

  accept(token: number): void {
    if (this.#length === this.#answer.length) {
      const grown = new Uint32Array(this.#answer.length * 2);
      grown.set(this.#answer);
      this.#answer = grown;
    }
    this.#answer[this.#length++] = token;
  }

  dispose(): void {
    this.sampler.dispose();
  }

  /** Only the members that are in force: the addon takes a member's presence for a wish. */
  #config(sampling: ResolvedSampling): SamplerConfig {
    const greedy = sampling.temperature < TEMPERATURE_MIN;
    const seed = mixSeed(sampling.seed, this.#length);
    const config: SamplerConfig = {
      temperature: greedy ? 0 : sampling.temperature,
      seed: seed === SEED_BY_CLOCK ? 0 : seed,
    };
    // Given 0, the addon would sort the whole vocabulary for nothing.
    if (sampling.topK > 0) config.topK = sampling.topK;
    if (sampling.topP < 1) config.topP = sampling.topP;
    if (sampling.minP > 0) config.minP = sampling.minP;
    if (sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0) {
      config.repeatPenaltyTokens = this.#answer.subarray(0, this.#length);
      config.repeatPenaltyMaxTokens = this.contextLength; // No answer is longer, so nothing drops out of the window.
      config.repeatPenalty = 1;
      config.repeatPenaltyPresencePenalty = sampling.presencePenalty;
      config.repeatPenaltyFrequencyPenalty = sampling.frequencyPenalty;
    }
    return config;
  }
}
