import {
  APPLY_TEMPLATE_PARAMETERS,
  applyTemplateRequestSchema,
  type ChatPromptBody,
  chatPromptFields,
  DETOKENIZE_PARAMETERS,
  detokenizeRequestSchema,
  InferenceError,
  TOKENIZE_PARAMETERS,
  type TokenizeRequestBody,
  tokenizeRequestSchema,
} from '@millrace/contracts';
import type { TextOrChat, ValidDetokenizeRequest, ValidTemplateRequest, ValidTokenizeRequest } from '../vocabulary.js';
import { chatPromptOf } from './chat-prompt.js';
import { checkBody } from './check-body.js';
import type { ModelCatalog } from './model-catalog.js';

/** What means something in chats only. */
const CHAT_FIELDS = Object.keys(chatPromptFields) as readonly (keyof ChatPromptBody)[];

/** The body of POST /tokenize: unknown before, valid after. */
export function parseTokenizeRequest(body: unknown, models: ModelCatalog): ValidTokenizeRequest {
  const request = checkBody(body, TOKENIZE_PARAMETERS, tokenizeRequestSchema);
  const prompt = promptOf(request);
  const valid: Omit<ValidTokenizeRequest, symbol> = {
    // Every model has a vocabulary, whatever it does with it; only a chat needs one that chats.
    model: models.resolve(request.model, prompt.kind === 'chat' ? 'chat' : undefined),
    prompt,
    addSpecial: request.add_special ?? false,
    parseSpecial: request.parse_special ?? true,
    withPieces: request.with_pieces ?? false,
  };
  return valid as ValidTokenizeRequest;
}

/** The body of POST /detokenize. */
export function parseDetokenizeRequest(body: unknown, models: ModelCatalog): ValidDetokenizeRequest {
  const { model, tokens } = checkBody(body, DETOKENIZE_PARAMETERS, detokenizeRequestSchema);
  return { model: models.resolve(model), tokens } satisfies Omit<
    ValidDetokenizeRequest,
    symbol
  > as ValidDetokenizeRequest;
}

/** The body of POST /apply-template. */
export function parseTemplateRequest(body: unknown, models: ModelCatalog): ValidTemplateRequest {
  const request = checkBody(body, APPLY_TEMPLATE_PARAMETERS, applyTemplateRequestSchema);
  const valid: Omit<ValidTemplateRequest, symbol> = {
    model: models.resolve(request.model, 'chat'),
    prompt: chatPromptOf(request).prompt,
  };
  return valid as ValidTemplateRequest;
}

function promptOf(request: TokenizeRequestBody): TextOrChat {
  const { content, prompt, messages } = request;
  const given = Object.entries({ content, prompt, messages }).filter(([, value]) => value != null);
  if (given.length !== 1) throw notOne(given.map(([name]) => name));
  if (messages) return chatPromptOf({ ...request, messages }).prompt;
  for (const name of CHAT_FIELDS) if (request[name] != null) throw onlyInChats(name);
  return { kind: 'text', text: content ?? prompt ?? '' };
}

function notOne(given: readonly string[]): InferenceError {
  const sentence =
    given.length === 0
      ? '`content` is required: the text to tokenize, or `messages` in its place.'
      : `\`${given.join('` and `')}\` are given; only one of them can be tokenized. Send one.`;
  return new InferenceError('invalid_request', sentence, { param: given[1] ?? 'content' });
}

function onlyInChats(param: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`${param}\` means nothing without \`messages\`. Send a chat, or leave it out.`,
    { param },
  );
}
