import type { AnswerRequest, ChatRequestBody, TextRequestBody } from '@millrace/contracts';

/** Smaller ones would become 0 on their way, in 32 bits, which asks for nothing; both leave only the likeliest token. */
const TOP_P_MIN = 1e-6;

interface Generation extends Pick<AnswerRequest, 'sampling' | 'maxTokens' | 'stop'> {
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** What both endpoints say in the same words. `null` means "not set", as OpenAI's clients send it. */
export function generationOf(
  request: ChatRequestBody | TextRequestBody,
  maxTokens: number | null | undefined,
): Generation {
  return {
    sampling: {
      temperature: request.temperature ?? undefined,
      topP: request.top_p == null ? undefined : Math.max(TOP_P_MIN, request.top_p),
      topK: request.top_k ?? undefined,
      minP: request.min_p ?? undefined,
      seed: seed32(request.seed),
      presencePenalty: request.presence_penalty ?? undefined,
      frequencyPenalty: request.frequency_penalty ?? undefined,
    },
    maxTokens: maxTokens ?? undefined,
    stop: typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []),
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
  };
}

/** OpenAI's seed has 64 bits and a sign, the engine's 32 and none: the same seed must always become the same one. */
function seed32(seed: number | null | undefined): number | undefined {
  return seed == null ? undefined : seed >>> 0;
}
