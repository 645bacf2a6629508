import {
  type AnswerRequest,
  type ChatRequestBody,
  InferenceError,
  type ModelDescription,
  type Sampling,
  type TextRequestBody,
  type TokenBias,
} from '@millrace/contracts';
import type { ValidRequest } from '../vocabulary.js';
import type { Route } from './model-catalog.js';
import { outputFormatOf } from './output-format.js';

type Body = ChatRequestBody | TextRequestBody;

/** Smaller ones would become 0 on their way, in 32 bits, which asks for nothing; both leave only the likeliest token. */
const TOP_P_MIN = 1e-6;
/** As there: a worker would refuse the 0, which the caller never sent. */
const REPEAT_PENALTY_MIN = 1e-6;

/** Of a model that was never loaded: more than most have, and no more than an engine may well make room for. */
const CONTEXT_UNKNOWN = 131_072;

type Generation = Pick<AnswerRequest, 'sampling' | 'stop' | 'format'> &
  Pick<ValidRequest, 'model' | 'fallbacks' | 'n' | 'schemaParam' | 'stream' | 'includeUsage'>;

/** What both endpoints say in the same words. `null` means "not set", as OpenAI's clients send it. */
export function generationOf(request: Body, { model, fallbacks }: Route): Generation {
  const format = outputFormatOf(request);
  if (format && request.ignore_eos) throw endlessFormat(request);
  return {
    model,
    fallbacks,
    sampling: samplingOf(request, model),
    format,
    schemaParam: request.response_format?.type === 'json_object' ? 'response_format.schema' : undefined,
    stop: typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []),
    n: request.n ?? 1,
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
  };
}

function samplingOf(request: Body, model: ModelDescription): Sampling {
  return {
    temperature: request.temperature ?? undefined,
    topP: request.top_p == null ? undefined : Math.max(TOP_P_MIN, request.top_p),
    // vLLM's -1 is the 0 of llama.cpp: all tokens.
    topK: request.top_k == null ? undefined : Math.max(0, request.top_k),
    minP: request.min_p ?? undefined,
    seed: seed32(request.seed),
    presencePenalty: request.presence_penalty ?? undefined,
    frequencyPenalty: request.frequency_penalty ?? undefined,
    repeatPenalty: repeatPenaltyOf(request.repeat_penalty ?? request.repetition_penalty),
    // The protocol's 0 is none of them and it has no word for all, so all is as many as there can be.
    repeatLastN:
      request.repeat_last_n === -1 ? model.contextLength || CONTEXT_UNKNOWN : (request.repeat_last_n ?? undefined),
    ...drySampling(request),
    xtcProbability: request.xtc_probability ?? undefined,
    xtcThreshold: request.xtc_threshold ?? undefined,
    logitBias: biasesOf(request.logit_bias),
    ignoreEos: request.ignore_eos ?? undefined,
  };
}

function repeatPenaltyOf(penalty: number | null | undefined): number | undefined {
  return penalty == null ? undefined : Math.max(REPEAT_PENALTY_MIN, penalty);
}

function drySampling(request: Body): Sampling {
  const lastN = request.dry_penalty_last_n;
  return {
    // To look at no token at all turns it off; the protocol's 0 looks at all of them, as -1 does here.
    dryMultiplier: lastN === 0 ? 0 : (request.dry_multiplier ?? undefined),
    dryBase: request.dry_base ?? undefined,
    dryAllowedLength: request.dry_allowed_length ?? undefined,
    dryLastN: lastN == null ? undefined : Math.max(0, lastN),
    drySequenceBreakers: request.dry_sequence_breakers ?? undefined,
  };
}

function biasesOf(biases: Body['logit_bias']): readonly TokenBias[] | undefined {
  const list = Object.entries(biases ?? {}).map(([token, bias]) => ({ token: Number(token), bias }));
  return list.length === 0 ? undefined : list;
}

/**
 * OpenAI's seed has 64 bits and a sign, the engine's 32 and none: the same seed must always become the same one. Of a large one the lower half
 * alone would hardly differ from that of others, since its last bits were rounded away.
 */
function seed32(seed: number | null | undefined): number | undefined {
  if (seed == null) return undefined;
  return Number.isSafeInteger(seed) ? seed >>> 0 : (Math.floor(seed / 2 ** 32) ^ seed) >>> 0;
}

function endlessFormat(request: Body): InferenceError {
  const other = request.grammar == null ? 'response_format' : 'grammar';
  return new InferenceError(
    'invalid_request',
    `\`ignore_eos\` is true together with \`${other}\`: what must have an end cannot go on after it. Leave one of them out.`,
    { param: 'ignore_eos' },
  );
}
