import type { InferenceError, Sampling } from '@millrace/contracts';
import type { Preset } from './presets.js';

type SamplingKey = keyof Sampling;

/** What asks for nothing, so that an upstream which doesn't know it does as it says. */
const NEUTRAL: { readonly [Key in SamplingKey]?: Sampling[Key] } = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repeatPenalty: 1,
  dryMultiplier: 0,
  xtcProbability: 0,
  ignoreEos: false,
};

/** What they are called in a request, for a refusal to name. */
const PARAMETERS: Readonly<Record<SamplingKey, string>> = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  seed: 'seed',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repeatPenalty: 'repeat_penalty',
  repeatLastN: 'repeat_last_n',
  dryMultiplier: 'dry_multiplier',
  dryBase: 'dry_base',
  dryAllowedLength: 'dry_allowed_length',
  dryLastN: 'dry_penalty_last_n',
  drySequenceBreakers: 'dry_sequence_breakers',
  xtcProbability: 'xtc_probability',
  xtcThreshold: 'xtc_threshold',
  logitBias: 'logit_bias',
  ignoreEos: 'ignore_eos',
};

const KEYS = Object.keys(PARAMETERS) as SamplingKey[];

/** Parts of something that another turns on; without that they ask for nothing. */
const ONLY_WITH: { readonly [Key in SamplingKey]?: SamplingKey } = {
  repeatLastN: 'repeatPenalty',
  dryBase: 'dryMultiplier',
  dryAllowedLength: 'dryMultiplier',
  dryLastN: 'dryMultiplier',
  drySequenceBreakers: 'dryMultiplier',
  xtcThreshold: 'xtcProbability',
};

/**
 * The sampling, as the upstream calls it: what the request says, else what the model's entry says, else what the preset must
 * always be told. What it doesn't know is left out if it asks for nothing.
 *
 * @throws what `refused` makes of a parameter that the request asks for and the upstream doesn't know.
 */
export function samplingFields(
  sampling: Sampling,
  defaults: Sampling,
  preset: Preset,
  refused: (param: string) => InferenceError,
): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const key of KEYS) {
    const word = preset.sampling[key];
    if (word === undefined) {
      if (asksForSomething(key, sampling)) throw refused(PARAMETERS[key]);
      continue;
    }
    const value = sampling[key] ?? defaultOf(key, defaults, preset);
    if (value !== undefined) fields[word] = wireValue(key, value, preset);
  }
  return fields;
}

/** The defaults of a model that its upstream doesn't know, by the names of a request. */
export function unheardDefaults(defaults: Sampling, preset: Preset): string[] {
  return KEYS.filter((key) => preset.sampling[key] === undefined && asksForSomething(key, defaults)).map(
    (key) => PARAMETERS[key],
  );
}

function asksForSomething(key: SamplingKey, sampling: Sampling): boolean {
  const value = sampling[key];
  if (value === undefined || value === NEUTRAL[key]) return false;
  const other = ONLY_WITH[key];
  return other === undefined || asksForSomething(other, sampling);
}

function defaultOf(key: SamplingKey, defaults: Sampling, preset: Preset): Sampling[SamplingKey] {
  const always = preset.always.includes(key);
  const value = defaults[key];
  if (always) return value ?? NEUTRAL[key];
  // Left out, OpenAI's own default applies, which is the same; some models of its refuse even to be told it.
  return value === NEUTRAL[key] ? undefined : value;
}

function wireValue(key: SamplingKey, value: NonNullable<Sampling[SamplingKey]>, preset: Preset): unknown {
  if (key === 'topK' && value === 0) return preset.allTopK ?? 0;
  // Here 0 is all that the context holds, in llama.cpp's words -1.
  if (key === 'dryLastN' && value === 0) return -1;
  if (key === 'logitBias') {
    return Object.fromEntries((value as NonNullable<Sampling['logitBias']>).map(({ token, bias }) => [token, bias]));
  }
  return value;
}
