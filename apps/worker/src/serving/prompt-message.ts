import { InferenceError, type Prompt } from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';

/** A chat as the engine takes it. @throws InferenceError naming the part that is no JSON, or not of the right kind. */
export function chatPrompt(chat: protocol.ChatPrompt): Extract<Prompt, { kind: 'chat' }> {
  return {
    kind: 'chat',
    messages: objectsIn(chat.messagesJson, 'messages'),
    tools: objectsIn(chat.toolsJson, 'tools'),
    templateVariables: objectIn(chat.templateVariablesJson, 'chat_template_kwargs'),
  };
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
