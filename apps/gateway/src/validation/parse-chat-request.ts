import { CHAT_PARAMETERS, type ChatRequestBody, chatRequestSchema, InferenceError } from '@millrace/contracts';
import type { ValidChatRequest, ValidRequest } from '../vocabulary.js';
import { chatPromptOf } from './chat-prompt.js';
import { checkBody } from './check-body.js';
import { generationOf } from './generation.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/chat/completions: unknown before, valid after. */
export function parseChatRequest(body: unknown, models: ModelCatalog): ValidChatRequest {
  const request = checkBody(body, CHAT_PARAMETERS, chatRequestSchema);
  const { prompt, toolPlaces } = chatPromptOf(request);
  const generation = generationOf(request, models.resolve(request.model, 'chat'));
  const valid: ValidRequest = {
    ...generation,
    prompts: [prompt],
    toolPlaces,
    bestOf: generation.n,
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
    logprobs: logprobsOf(request),
  };
  return valid as ValidChatRequest;
}

/** OpenAI asks twice: whether at all, and how many of the likeliest. */
function logprobsOf({ logprobs, top_logprobs }: ChatRequestBody): number | undefined {
  if (logprobs) return top_logprobs ?? 0;
  if (!top_logprobs) return undefined;
  throw new InferenceError(
    'invalid_request',
    `\`top_logprobs\` is ${top_logprobs}, but \`logprobs\` is not true. Set logprobs to true, or leave top_logprobs out.`,
    { param: 'top_logprobs' },
  );
}
