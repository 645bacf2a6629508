import {
  COUNT_TOKENS_PARAMETERS,
  countTokensRequestSchema,
  effortOf,
  InferenceError,
  MESSAGES_PARAMETERS,
  type MessagesPromptBody,
  type MessagesRequestBody,
  messagesRequestSchema,
  type ReasoningEffort,
} from '@millrace/contracts';
import type { ThoughtsTold, ValidMessagesRequest, ValidRequest, ValidTokenizeRequest } from '../vocabulary.js';
import { cappedRoute } from './capped-route.js';
import { checkBody } from './check-body.js';
import { conversationChance } from './conversation-chance.js';
import { generationOf } from './generation.js';
import { messagesPromptOf } from './messages-prompt.js';
import type { ModelCatalog, Route } from './model-catalog.js';

/** The body of POST /v1/messages: unknown before, valid after. It comes to the same as a chat in OpenAI's words. */
export function parseMessagesRequest(body: unknown, models: ModelCatalog): ValidMessagesRequest {
  const request = checkBody(body, MESSAGES_PARAMETERS, messagesRequestSchema);
  checkBudget(request);
  const prompt = messagesPromptOf(request);
  const ask = { maxTokens: { param: 'max_tokens', value: request.max_tokens }, answers: { param: 'n', value: 1 } };
  const route = cappedRoute(request.model, 'chat', conversationChance(prompt), ask, models);
  const valid: ValidRequest & { readonly maxTokens: number; readonly thoughtsTold: ThoughtsTold } = {
    ...generationIn(request, route),
    prompts: [{ ...prompt, reasoningEffort: effortTold(request, route) }],
    schemaParam: request.output_config?.format ? 'output_config.format.schema' : 'output_format.schema',
    bestOf: 1,
    maxTokens: request.max_tokens,
    thoughtsTold: thoughtsToldTo(request),
  };
  return valid as ValidMessagesRequest;
}

/** The body of POST /v1/messages/count_tokens. */
export function parseCountTokensRequest(body: unknown, models: ModelCatalog): ValidTokenizeRequest {
  const request = checkBody(body, COUNT_TOKENS_PARAMETERS, countTokensRequestSchema);
  const prompt = messagesPromptOf(request);
  const { model } = models.route(request.model, 'chat', conversationChance(prompt));
  const valid: Omit<ValidTokenizeRequest, symbol> = {
    model,
    prompt: { ...prompt, reasoningEffort: effortTold(request, { model, fallbacks: [] }) },
    addSpecial: false,
    parseSpecial: true,
    withPieces: false,
  };
  return valid as ValidTokenizeRequest;
}

function generationIn(request: MessagesRequestBody, route: Route) {
  const { output_config, output_format } = request;
  const schema = (output_config?.format ?? output_format)?.schema;
  return generationOf(
    {
      messages: [], // They are in the prompt.
      temperature: request.temperature,
      top_p: request.top_p,
      top_k: request.top_k,
      stop: request.stop_sequences,
      stream: request.stream,
      ...(schema && { response_format: { type: 'json_schema', json_schema: { name: 'output', schema } } }),
    },
    route,
  );
}

function checkBudget({ thinking, max_tokens: maxTokens }: MessagesRequestBody): void {
  if (thinking?.type !== 'enabled' || thinking.budget_tokens < maxTokens) return;
  const param = 'thinking.budget_tokens';
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` is ${thinking.budget_tokens} and \`max_tokens\` ${maxTokens}: thoughts are part of the answer, and must leave room for it. Raise max_tokens, or lower the budget.`,
    { param },
  );
}

/**
 * Anthropic's models think only if they are asked to, ours unless they are asked not to: whoever says nothing reads an answer that begins
 * with its text, and has set `max_tokens` for that.
 */
function effortTold({ thinking, output_config }: MessagesPromptBody, route: Route): ReasoningEffort | undefined {
  if (thinking == null || thinking.type === 'disabled') return isOurs(route) ? 'none' : undefined;
  return effortOf(output_config?.effort);
}

/** Servers that others run may refuse to be told so, where they have nothing to turn off. */
function isOurs({ model, fallbacks }: Route): boolean {
  return [model, ...fallbacks].every(
    ({ provider, engine }) => provider === undefined && !engine.startsWith('openai-compatible'),
  );
}

function thoughtsToldTo({ thinking }: MessagesRequestBody): ThoughtsTold {
  if (thinking == null || thinking.type === 'disabled') return 'none';
  return 'display' in thinking && thinking.display === 'omitted' ? 'omitted' : 'all';
}
