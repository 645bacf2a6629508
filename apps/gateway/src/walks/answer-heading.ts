import { createHash } from 'node:crypto';
import { InferenceError, type ModelDescription, type Usage, type UsageBody, VERSION } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { ServiceTier } from '../vocabulary.js';

/** What every chunk of one answer repeats, and the whole answer says once. */
export interface AnswerHeading {
  readonly id: string;
  /** Unix seconds. Taken once: OpenAI's chunks all carry the same. */
  readonly created: number;
  readonly model: string;
  /** Undefined: completions of texts have none. */
  readonly serviceTier?: ServiceTier | undefined;
  readonly system_fingerprint: string;
}

/** Who answers is known only once something of the answer has come: a fallback may have stood in. */
export interface Answering {
  readonly answeredBy: ModelDescription;
}

/** To be read from the first event of the answer on. */
export function openHeading(
  prefix: 'chatcmpl' | 'cmpl',
  answering: Answering,
  serviceTier?: ServiceTier,
  id = `${prefix}-${randomHex(12)}`,
): AnswerHeading {
  const created = Math.floor(Date.now() / 1000);
  return {
    id,
    created,
    serviceTier,
    get model() {
      return answering.answeredBy.id;
    },
    get system_fingerprint() {
      return fingerprintOf(answering.answeredBy.engine);
    },
  };
}

/** The heading as it is written, in OpenAI's order. */
export function headOf<O extends string>(heading: AnswerHeading, object: O) {
  const { id, created, model, serviceTier, system_fingerprint } = heading;
  return { id, object, created, model, ...(serviceTier && { service_tier: serviceTier }), system_fingerprint };
}

/** By engine: there are as many as versions of it among the workers, and every request wants one. */
const FINGERPRINTS = new Map<string, string>();
const FINGERPRINTS_MAX = 64;

/** Changes when an answer to the same seed may change: with our version, the engine's, or how that runs the model. */
function fingerprintOf(engine: string): string {
  const known = FINGERPRINTS.get(engine);
  if (known !== undefined) return known;
  const fingerprint = `fp_${createHash('sha256').update(`${VERSION} ${engine}`).digest('hex').slice(0, 10)}`;
  if (FINGERPRINTS.size >= FINGERPRINTS_MAX) FINGERPRINTS.clear();
  FINGERPRINTS.set(engine, fingerprint);
  return fingerprint;
}

export function usageBody({ promptTokens, completionTokens, cachedTokens, reasoningTokens = 0 }: Usage): UsageBody {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}

export function endedEarly(): InferenceError {
  return new InferenceError(
    'internal_error',
    'The worker ended the answer without saying why. Send the request again.',
  );
}
