import { InferenceError, type Sampling, type TokenBias } from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';

/** Inclusive, save for those of `ABOVE_LOWEST`. */
const RANGES = {
  temperature: [0, 2],
  topP: [0, 1],
  minP: [0, 1],
  presencePenalty: [-2, 2],
  frequencyPenalty: [-2, 2],
  repeatPenalty: [0, 2],
  dryMultiplier: [0, 100],
  dryBase: [1, 10],
  xtcProbability: [0, 1],
  xtcThreshold: [0, 1],
} as const satisfies Partial<Record<keyof Sampling, readonly [number, number]>>;
const ABOVE_LOWEST: ReadonlySet<string> = new Set(['topP', 'repeatPenalty']);

/** llama.cpp counts in 32 bits, with a sign. */
const COUNT_MAX = 2_147_483_647;
const COUNTS = ['topK', 'repeatLastN', 'dryAllowedLength', 'dryLastN'] as const satisfies readonly (keyof Sampling)[];

const WIRE_NAMES = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repeatPenalty: 'repeat_penalty',
  repeatLastN: 'repeat_last_n',
  dryMultiplier: 'dry_multiplier',
  dryBase: 'dry_base',
  dryAllowedLength: 'dry_allowed_length',
  dryLastN: 'dry_penalty_last_n',
  xtcProbability: 'xtc_probability',
  xtcThreshold: 'xtc_threshold',
} as const satisfies Record<keyof typeof RANGES | (typeof COUNTS)[number], string>;

const BIASED_TOKENS_MAX = 1_024;
const BIAS_MAX = 100;
const BREAKERS_MAX = 16;
const BREAKER_CHARACTERS_MAX = 64;

/** How the tokens are chosen, checked. @throws InferenceError naming OpenAI's parameter, or llama-server's. */
export function checkedSampling(sampling: protocol.Sampling | undefined): Sampling {
  if (sampling === undefined) return {};
  for (const name of Object.keys(RANGES) as (keyof typeof RANGES)[]) checkRange(name, sampling[name]);
  for (const name of COUNTS) checkCount(name, sampling[name]);
  const { logitBias, drySequenceBreakers, ...rest } = sampling;
  return {
    ...rest,
    ...(logitBias.length > 0 && { logitBias: checkedBiases(logitBias) }),
    ...(drySequenceBreakers && { drySequenceBreakers: checkedBreakers(drySequenceBreakers.texts) }),
  };
}

function checkRange(name: keyof typeof RANGES, value: number | undefined): void {
  if (value === undefined) return;
  const [lowest, highest] = RANGES[name];
  const above = ABOVE_LOWEST.has(name);
  // NaN is in no range, so the comparison must be the one that it fails.
  if (value >= lowest && value <= highest && !(above && value === lowest)) return;
  const range = above ? `above ${lowest} and at most ${highest}` : `from ${lowest} to ${highest}`;
  throw refused(WIRE_NAMES[name], `is ${value}; it must be ${range}.`);
}

function checkCount(name: (typeof COUNTS)[number], value: number | undefined): void {
  if (value === undefined || value <= COUNT_MAX) return;
  throw refused(WIRE_NAMES[name], `is ${value}; it must be at most ${COUNT_MAX}.`);
}

function checkedBiases(biases: readonly TokenBias[]): readonly TokenBias[] {
  if (biases.length > BIASED_TOKENS_MAX) {
    throw refused('logit_bias', `names ${biases.length} tokens; at most ${BIASED_TOKENS_MAX} are allowed.`);
  }
  const wrong = biases.find(({ bias }) => !(bias >= -BIAS_MAX && bias <= BIAS_MAX));
  if (wrong === undefined) return biases;
  throw refused(
    'logit_bias',
    `gives the token ${wrong.token} a bias of ${wrong.bias}; it must be from -${BIAS_MAX} to ${BIAS_MAX}.`,
  );
}

function checkedBreakers(texts: readonly string[]): readonly string[] {
  const param = 'dry_sequence_breakers';
  if (texts.length > BREAKERS_MAX)
    throw refused(param, `has ${texts.length} texts; at most ${BREAKERS_MAX} are allowed.`);
  for (const text of texts) {
    // Every token holds an empty text, so that nothing would ever be a repetition.
    if (text.length >= 1 && text.length <= BREAKER_CHARACTERS_MAX) continue;
    throw refused(
      param,
      `has a text of ${text.length} characters; each must have from 1 to ${BREAKER_CHARACTERS_MAX}.`,
    );
  }
  return texts;
}

function refused(param: string, claim: string): InferenceError {
  return new InferenceError('invalid_request', `${param} ${claim}`, { param });
}
