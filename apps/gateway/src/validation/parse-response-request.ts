import {
  type ChatRequestBody,
  INPUT_TOKENS_PARAMETERS,
  InferenceError,
  type InputTokensRequestBody,
  inputTokensRequestSchema,
  RESPONSE_PARAMETERS,
  type ResponseRequestBody,
  type ResponseTool,
  responseRequestSchema,
} from '@millrace/contracts';
import type { ValidChatRequest, ValidTokenizeRequest } from '../vocabulary.js';
import { chatPromptOf } from './chat-prompt.js';
import { checkBody } from './check-body.js';
import { messagesOf } from './item-messages.js';
import type { ModelCatalog } from './model-catalog.js';
import { validChat } from './parse-chat-request.js';
import { type PlacedItem, withTypes } from './response-items.js';
import { FILE_SEARCH, FILE_SEARCH_FUNCTION, fileSearchOf } from './searched-files.js';

type Asked = ResponseRequestBody | InputTokensRequestBody;
type Chat = ChatRequestBody;

/** What a response goes on from: one of these, or nothing. */
export interface GoneOnFrom {
  readonly previousResponseId: string | undefined;
  readonly conversationId: string | undefined;
}

/**
 * The body of POST /v1/responses, as far as it can be looked at by itself: unknown before, of the right shape after. Whether it is valid is
 * known once that is there which it goes on from.
 */
export function checkResponseRequest(body: unknown): ResponseRequestBody {
  const asked = checkBody(withTypes(body, 'input'), RESPONSE_PARAMETERS, responseRequestSchema);
  checkGoneOnFrom(asked);
  fileSearchOf(asked.tools);
  if (asked.background && asked.store === false) {
    throw refusal(
      '`background` is true together with `store`: false; a response that nobody waits for has to be kept until somebody asks for it. Leave one of them out.',
      'background',
    );
  }
  return asked;
}

/** The body of POST /v1/responses/input_tokens, in the same way. */
export function checkInputTokensRequest(body: unknown): InputTokensRequestBody {
  const asked = checkBody(withTypes(body, 'input'), INPUT_TOKENS_PARAMETERS, inputTokensRequestSchema);
  checkGoneOnFrom(asked);
  fileSearchOf(asked.tools);
  return asked;
}

export function goneOnFrom({ previous_response_id, conversation }: Asked): GoneOnFrom {
  return {
    previousResponseId: previous_response_id ?? undefined,
    conversationId: (typeof conversation === 'string' ? conversation : conversation?.id) ?? undefined,
  };
}

/**
 * @param items all of them, oldest first: those that it goes on from, and its own.
 * @throws InferenceError a 400 that names the parameter as it was sent.
 */
export function validResponse(
  asked: ResponseRequestBody,
  items: readonly PlacedItem[],
  models: ModelCatalog,
): ValidChatRequest {
  return saidInItems(() => {
    const valid = validChat(inChatWords(asked, items), models);
    return asked.text?.format?.type === 'json_schema' ? { ...valid, schemaParam: 'text.format.schema' } : valid;
  });
}

/** What the tokens of its prompt are asked for with. */
export function validInputTokens(
  asked: InputTokensRequestBody,
  items: readonly PlacedItem[],
  models: ModelCatalog,
): ValidTokenizeRequest {
  return saidInItems(() => {
    const valid: Omit<ValidTokenizeRequest, symbol> = {
      model: models.resolve(asked.model, 'chat'),
      prompt: chatPromptOf(promptInChatWords(asked, items)).prompt,
      addSpecial: false,
      parseSpecial: true,
      withPieces: false,
    };
    return valid as ValidTokenizeRequest;
  });
}

function inChatWords(asked: ResponseRequestBody, items: readonly PlacedItem[]): Chat {
  const { include, top_logprobs, service_tier } = asked;
  const logprobs = (include?.includes('message.output_text.logprobs') ?? false) || (top_logprobs ?? 0) > 0;
  return {
    ...promptInChatWords(asked, items),
    model: asked.model,
    stream: asked.stream,
    temperature: asked.temperature,
    top_p: asked.top_p,
    max_completion_tokens: asked.max_output_tokens,
    response_format: formatInChatWords(asked.text?.format),
    ...(logprobs && { logprobs, top_logprobs }),
    service_tier: service_tier === 'flex' ? 'flex' : undefined,
  };
}

function promptInChatWords(asked: Asked, items: readonly PlacedItem[]) {
  const { instructions, tools, parallel_tool_calls, reasoning } = asked;
  const messages = messagesOf(items);
  if (messages.length === 0) throw nothingAsked(asked);
  return {
    messages: [...(instructions ? [{ role: 'system' as const, content: instructions }] : []), ...messages],
    tools: tools?.map(toolInChatWords),
    tool_choice: choiceInChatWords(asked.tool_choice),
    parallel_tool_calls,
    reasoning_effort: reasoning?.effort,
  };
}

function toolInChatWords(tool: ResponseTool): NonNullable<Chat['tools']>[number] {
  if (tool.type === 'file_search') return FILE_SEARCH;
  const { type, name, description, parameters, strict } = tool;
  return { type, function: { name, description, parameters, strict } };
}

type Choice = NonNullable<Asked['tool_choice']>;
type ChosenTool = Extract<Choice, { type: 'allowed_tools' }>['tools'][number];

function choiceInChatWords(choice: Asked['tool_choice']): Chat['tool_choice'] {
  if (choice == null || typeof choice === 'string') return choice;
  if (choice.type !== 'allowed_tools') return chosenInChatWords(choice);
  const { type, mode, tools } = choice;
  return { type, allowed_tools: { mode, tools: tools.map(chosenInChatWords) } };
}

function chosenInChatWords(chosen: ChosenTool) {
  const name = chosen.type === 'file_search' ? FILE_SEARCH_FUNCTION : chosen.name;
  return { type: 'function' as const, function: { name } };
}

function formatInChatWords(format: NonNullable<ResponseRequestBody['text']>['format']): Chat['response_format'] {
  if (format?.type !== 'json_schema') return format;
  const { type, name, description, schema, strict } = format;
  return { type, json_schema: { name, description, schema, strict } };
}

function checkGoneOnFrom({ previous_response_id, conversation }: Asked): void {
  if (previous_response_id == null || conversation == null) return;
  throw refusal(
    '`previous_response_id` and `conversation` are both given; a response goes on from one of them. Leave one out.',
    'previous_response_id',
  );
}

function nothingAsked({ input }: Asked): InferenceError {
  return refusal(
    `\`input\` ${input == null ? 'is required' : 'is empty'}: a text, or a list of items, of which one is a message.`,
    'input',
  );
}

function refusal(sentence: string, param: string): InferenceError {
  return new InferenceError('invalid_request', sentence, { param });
}

/** What is called otherwise in chats; the first that matches counts. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^tools(\[\d+\])\.function/, 'tools$1'],
  [/^tool_choice\.allowed_tools\.tools(\[\d+\])\.function/, 'tool_choice.tools$1'],
  [/^tool_choice\.function/, 'tool_choice'],
  [/^response_format\.json_schema/, 'text.format'],
  [/^response_format/, 'text.format'],
  [/^max_(completion_)?tokens/, 'max_output_tokens'],
  [/^reasoning_effort/, 'reasoning.effort'],
  [/^(top_)?logprobs/, 'top_logprobs'],
  [/^messages(\[\d+\](\.\w+)*)?/, 'input'],
];

function ourName(name: string): string {
  for (const [theirs, ours] of NAMES) if (theirs.test(name)) return name.replace(theirs, ours);
  return name;
}

/** What chats and workers say is wrong with a parameter, under the name that it has here. */
export function inResponseWords(error: unknown): unknown {
  if (!(error instanceof InferenceError) || error.details.param === undefined) return error;
  const { code, message, details } = error;
  const param = ourName(error.details.param);
  if (param === details.param) return error;
  const said = message.replace(/`([^`]+)`/g, (_whole, name: string) => `\`${ourName(name)}\``);
  return new InferenceError(code, said, { ...details, param, cause: error });
}

function saidInItems<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw inResponseWords(error);
  }
}
