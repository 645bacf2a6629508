import { InferenceError, type Prompt, REASONING_EFFORTS, type ToolChoice } from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';

/** A chat as the engine takes it. @throws InferenceError naming the part that is no JSON, or not of the right kind. */
export function chatPrompt(chat: protocol.ChatPrompt): Extract<Prompt, { kind: 'chat' }> {
  return {
    kind: 'chat',
    messages: objectsIn(chat.messagesJson, 'messages'),
    tools: objectsIn(chat.toolsJson, 'tools'),
    templateVariables: objectIn(chat.templateVariablesJson, 'chat_template_kwargs'),
    documents: objectsIn(chat.documentsJson, 'documents'),
    toolChoice: toolChoiceOf(chat.toolChoice),
    parallelCalls: !chat.singleCall,
    continueFinal: chat.continueFinal,
    reasoningEffort: REASONING_EFFORTS.find((effort) => effort === chat.reasoningEffort),
    nowSeconds: chat.nowSeconds || undefined,
  };
}

function toolChoiceOf(message: protocol.ToolChoice | undefined): ToolChoice {
  switch (message?.choice?.$case) {
    case undefined:
      return 'auto';
    case 'required':
      return 'required';
    case 'name':
      return { name: message.choice.value };
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function objectsIn(json: string, param: string): readonly JsonObject[] {
  const value = json === '' ? [] : parsed(json, param);
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw new InferenceError('invalid_request', `${param} must be an array of objects.`, { param });
}

function objectIn(json: string, param: string): JsonObject {
  const value = json === '' ? {} : parsed(json, param);
  if (isObject(value)) return value;
  throw new InferenceError('invalid_request', `${param} must be an object.`, { param });
}

function parsed(json: string, param: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new InferenceError('invalid_request', `${param} is not JSON.`, { param, cause });
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
