import { CHAT_PARAMETERS, type ChatRequestBody, chatRequestSchema, InferenceError } from '@millrace/contracts';
import type { ServiceTier, ValidChatRequest, ValidRequest } from '../vocabulary.js';
import { cappedRoute } from './capped-route.js';
import { chatPromptOf } from './chat-prompt.js';
import { checkBody } from './check-body.js';
import { conversationChance } from './conversation-chance.js';
import { generationOf } from './generation.js';
import type { ModelCatalog } from './model-catalog.js';
import { hasFunctions } from './todays-form.js';
import type { CappedAsk } from './within-caps.js';

/** The body of POST /v1/chat/completions: unknown before, valid after. */
export function parseChatRequest(body: unknown, models: ModelCatalog): ValidChatRequest {
  return validChat(checkBody(body, CHAT_PARAMETERS, chatRequestSchema), models);
}

/** A request of the right shape; what it asks for is checked here. */
export function validChat(request: ChatRequestBody, models: ModelCatalog): ValidChatRequest {
  const { prompt, toolPlaces } = chatPromptOf(request);
  const route = cappedRoute(request.model, 'chat', conversationChance(prompt), askOf(request), models);
  const generation = generationOf(request, route);
  const valid: ValidRequest = {
    ...generation,
    prompts: [prompt],
    toolPlaces,
    oldCalls: hasFunctions(request) || undefined,
    bestOf: generation.n,
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
    logprobs: logprobsOf(request),
    serviceTier: serviceTierOf(request),
    keep: request.store ? { messages: request.messages, metadata: request.metadata ?? {} } : undefined,
  };
  return valid as ValidChatRequest;
}

/** There are two; whatever means something faster at OpenAI is the faster of them. */
function serviceTierOf({ service_tier: tier }: ChatRequestBody): ServiceTier | undefined {
  if (tier == null) return undefined;
  return tier === 'flex' ? 'flex' : 'default';
}

function askOf({ max_completion_tokens, max_tokens, n }: ChatRequestBody): CappedAsk {
  const param = max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens';
  const value = max_completion_tokens ?? max_tokens;
  return { maxTokens: value == null ? undefined : { param, value }, answers: { param: 'n', value: n ?? 1 } };
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
