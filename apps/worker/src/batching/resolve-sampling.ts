import { InferenceError, type Sampling } from '@millrace/contracts';
import type { ResolvedSampling, TokenModel } from '../token-engine/token-engine.js';

/** What applies to what a request leaves out: the model's entry, and where that is silent, the settings. */
export interface SamplingDefaults {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
}

/** llama.cpp's defaults for what OpenAI does not have, and no default there changes an answer. */
const REPEAT_LAST_N = 64;
const DRY_BASE = 1.75;
const DRY_ALLOWED_LENGTH = 2;
const DRY_SEQUENCE_BREAKERS = ['\n', ':', '"', '*'];
const XTC_THRESHOLD = 0.1;

/**
 * Every choice filled in. `drawSeed` is asked only when the request brings no seed.
 *
 * @throws InferenceError when a bias is on a token that the model does not have.
 */
export function resolveSampling(
  sampling: Sampling,
  defaults: SamplingDefaults,
  model: Pick<TokenModel, 'vocabularySize' | 'contextLength'>,
  drawSeed: () => number,
): ResolvedSampling {
  checkBiases(sampling.logitBias ?? [], model.vocabularySize);
  return {
    temperature: sampling.temperature ?? defaults.temperature,
    topP: sampling.topP ?? defaults.topP,
    topK: sampling.topK ?? defaults.topK,
    minP: sampling.minP ?? defaults.minP,
    seed: sampling.seed ?? drawSeed(),
    presencePenalty: sampling.presencePenalty ?? 0,
    frequencyPenalty: sampling.frequencyPenalty ?? 0,
    repeatPenalty: sampling.repeatPenalty ?? 1,
    repeatLastN: Math.min(sampling.repeatLastN ?? REPEAT_LAST_N, model.contextLength),
    dryMultiplier: sampling.dryMultiplier ?? 0,
    dryBase: sampling.dryBase ?? DRY_BASE,
    dryAllowedLength: sampling.dryAllowedLength ?? DRY_ALLOWED_LENGTH,
    // 0 is all that the context holds.
    dryLastN: Math.min(sampling.dryLastN || model.contextLength, model.contextLength),
    drySequenceBreakers: sampling.drySequenceBreakers ?? DRY_SEQUENCE_BREAKERS,
    xtcProbability: sampling.xtcProbability ?? 0,
    xtcThreshold: sampling.xtcThreshold ?? XTC_THRESHOLD,
    logitBias: sampling.logitBias ?? [],
    ignoreEos: sampling.ignoreEos ?? false,
  };
}

function checkBiases(biases: NonNullable<Sampling['logitBias']>, vocabularySize: number): void {
  const wrong = biases.find(({ token }) => token >= vocabularySize);
  if (wrong === undefined) return;
  throw new InferenceError(
    'invalid_request',
    `logit_bias has a bias for token ${wrong.token}; this model's vocabulary has ${vocabularySize.toLocaleString('en-US')}, numbered from 0. POST /tokenize tells which tokens a text has.`,
    { param: 'logit_bias' },
  );
}
