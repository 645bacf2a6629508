import {
  CHAT_PARAMETERS,
  type ChatMessage,
  type ChatRequestBody,
  chatRequestSchema,
  InferenceError,
  type Prompt,
} from '@millrace/contracts';
import type { ValidChatRequest, ValidRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import { generationOf } from './generation.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/chat/completions: unknown before, valid after. */
export function parseChatRequest(body: unknown, models: ModelCatalog): ValidChatRequest {
  const request = checkBody(body, CHAT_PARAMETERS, chatRequestSchema);
  // OpenAI's `none` forbids calls. A model that never sees the tools makes none.
  const tools = request.tool_choice === 'none' ? [] : (request.tools ?? []);
  const prompt: Prompt = {
    kind: 'chat',
    messages: request.messages.map(plainMessage),
    tools,
    templateVariables: request.chat_template_kwargs ?? {},
  };
  const generation = generationOf(request, models.resolve(request.model, 'chat'));
  const valid: ValidRequest = {
    ...generation,
    prompts: [prompt],
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

/** A message whose content is one text, since few chat templates know content parts. */
export function plainMessage(message: ChatMessage, index: number): Record<string, unknown> {
  const { content } = message;
  // An empty text is content: an answer may well have been empty, and clients send the conversation back as it was.
  if (message.role === 'assistant' && content == null && !message.tool_calls?.length && !message.refusal) {
    throw new InferenceError(
      'invalid_request',
      `\`messages[${index}]\` is an answer without content and without tool_calls. Give it one of them, or leave it out.`,
      { param: `messages[${index}].content` },
    );
  }
  return { ...message, content: Array.isArray(content) ? joinedText(content, `messages[${index}].content`) : content };
}

type ContentPart = Extract<ChatMessage['content'], readonly unknown[]>[number];

function joinedText(parts: readonly ContentPart[], param: string): string {
  return parts.map((part, index) => partText(part, `${param}[${index}]`)).join('\n');
}

function partText(part: ContentPart, param: string): string {
  if (part.type === 'text') return part.text as string;
  if (part.type === 'refusal') return part.refusal as string;
  throw new InferenceError(
    'unsupported_parameter',
    `\`${param}\` is of type ${part.type}; only text is read here. Send parts of type text.`,
    { param },
  );
}
