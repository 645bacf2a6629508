import { InferenceError } from '@millrace/contracts';
import { nineCharacters } from './call-ids.js';
import { parseWritten } from './written-numbers.js';

export type Message = Readonly<Record<string, unknown>>;

/** What a template can do with messages, as `findAbilities` found out. */
export interface Abilities {
  /** A message's content may be a text. */
  readonly textContent: boolean;
  /** A message's content may be a list of parts. */
  readonly partsContent: boolean;
  readonly systemRole: boolean;
  /** It tells the model of the tools. */
  readonly tools: boolean;
  /** It writes earlier calls, with what they were called with, and their results. */
  readonly calls: boolean;
  /** It writes calls only where the content beside them is null, and not an empty text. */
  readonly callsWithoutContent: boolean;
  /** It takes a call's arguments as an object, not only as JSON text. */
  readonly objectArguments: boolean;
}

/** What else of a template matters for the shape of messages; told by its text. */
export interface MessageTraits {
  readonly knowsDeveloper: boolean;
  readonly nineCharacterIds: boolean;
  /** Where the reasoning of earlier answers has to stand, besides `reasoning_content`. */
  readonly reasoning: 'reasoning_content' | 'thinking' | 'thinking without content' | 'part';
  readonly trims: boolean;
}

/**
 * Messages as a template takes them, in the same shape as llama.cpp gives them, down to the order of their keys: some
 * templates print a call as it stands.
 *
 * @throws InferenceError naming a part of a message that is no text.
 */
export function shapeMessages(
  messages: readonly Message[],
  abilities: Abilities,
  traits: MessageTraits,
): readonly Message[] {
  const shaped = messages.map((message, index) => shapeMessage(message, index, abilities, traits));
  return abilities.systemRole ? shaped : withoutSystem(shaped);
}

function shapeMessage(message: Message, index: number, abilities: Abilities, traits: MessageTraits): Message {
  const { role, reasoning_content: reasoning, name, tool_call_id: callId, tool_calls: calls } = message;
  const shaped = {
    // OpenAI renamed `system` to `developer`; a template from before that would refuse it or leave it out.
    role: role === 'developer' && !traits.knowsDeveloper ? 'system' : role,
    content: contentOf(message, index, abilities, traits),
    ...(isText(reasoning) && { reasoning_content: traits.trims ? reasoning.trim() : reasoning }),
    ...(isText(name) && { name }),
    ...(isText(callId) && { tool_call_id: traits.nineCharacterIds ? nineCharacters(callId) : callId }),
    ...(Array.isArray(calls) &&
      calls.length > 0 && { tool_calls: calls.map((call: Message) => shapeCall(call, abilities, traits)) }),
  };
  const silent = abilities.callsWithoutContent && 'tool_calls' in shaped && shaped.content === '';
  return placeReasoning(silent ? { ...shaped, content: null } : shaped, traits);
}

function contentOf(
  { role, content }: Message,
  index: number,
  { textContent, partsContent }: Abilities,
  { trims }: MessageTraits,
) {
  const given = Array.isArray(content)
    ? content.map((part, at) => textOfPart(part, `messages[${index}].content[${at}]`))
    : content;
  const trimmed = (text: string) => (trims ? text.trim() : text);
  if (!Array.isArray(given)) {
    const text = typeof given === 'string' ? trimmed(given) : '';
    return textContent || !partsContent ? text : [{ type: 'text', text }];
  }
  const texts = given.map(trimmed);
  if (texts.length === 0) return '';
  // Many templates that take parts from users take none in the system message.
  const asParts = partsContent && !(textContent && (role === 'system' || role === 'developer'));
  return asParts ? texts.map((text) => ({ type: 'text', text })) : joinedTexts(texts);
}

/** With line breaks between, as vLLM and llama.cpp's server join them; none before the first that has any text. */
export function joinedTexts(texts: readonly string[]): string {
  return texts.reduce((joined, text) => (joined === '' ? text : `${joined}\n${text}`), '');
}

/** @throws InferenceError when the part is no text. */
export function textOfPart(part: unknown, param: string): string {
  if (typeof part === 'string') return part;
  const { type, text, refusal } = (part ?? {}) as Record<string, unknown>;
  if (typeof text === 'string') return text;
  if (typeof refusal === 'string') return refusal;
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` is a part of type \`${String(type)}\`; this model reads text only. Leave it out, or say it in words.`,
    { param },
  );
}

function shapeCall(call: Message, { objectArguments }: Abilities, { nineCharacterIds }: MessageTraits): Message {
  const { id } = call;
  const { name, arguments: given } = (call.function ?? {}) as Message;
  const text = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return {
    type: 'function',
    function: { name, arguments: objectArguments ? parsed(text) : text },
    ...(isText(id) && { id: nineCharacterIds ? nineCharacters(id) : id }),
  };
}

/** What is not JSON stays as it is: a model may have written it so. */
function parsed(text: string): unknown {
  try {
    return parseWritten(text);
  } catch {
    return text;
  }
}

function placeReasoning(message: Message, traits: MessageTraits): Message {
  const { reasoning_content: reasoning, ...rest } = message;
  switch (traits.reasoning) {
    case 'reasoning_content':
      return message;
    case 'thinking':
      return isText(reasoning) ? { ...message, thinking: reasoning } : message;
    case 'thinking without content': {
      if (!isText(reasoning)) return message;
      // The template refuses a call that has both.
      const { content, ...others } = message;
      return { ...others, ...(message.tool_calls === undefined && { content }), thinking: reasoning };
    }
    case 'part':
      return message.role === 'system' || message.role === 'assistant'
        ? { ...rest, content: partsOf(message) }
        : message;
  }
}

function partsOf({ reasoning_content: reasoning, content }: Message): readonly unknown[] {
  const parts = Array.isArray(content) ? content : [{ type: 'text', text: content }];
  return [...(isText(reasoning) ? [{ type: 'thinking', thinking: reasoning }] : []), ...parts];
}

/** A first system message joins the one behind it, or is the user's where there is none: the model was trained without. */
function withoutSystem(messages: readonly Message[]): readonly Message[] {
  const [system, next, ...others] = messages;
  if (system?.role !== 'system') return messages;
  if (next === undefined) return [{ ...system, role: 'user' }];
  return [{ ...next, content: joinedContents(system.content, next.content) }, ...others];
}

function joinedContents(first: unknown, second: unknown): unknown {
  if (typeof first === 'string' && typeof second === 'string') return `${first}\n${second}`;
  const parts = (content: unknown) => (Array.isArray(content) ? content : [{ type: 'text', text: content }]);
  return [...parts(first), ...parts(second)];
}

/** Tools as llama.cpp gives them, in this order of keys. What is no part of OpenAI's definition for a model is left out. */
export function shapeTools(tools: readonly Message[]): readonly Message[] {
  return tools.map((tool) => {
    const { name, description = '', parameters = {} } = (tool.function ?? {}) as Message;
    return { type: 'function', function: { name, description, parameters } };
  });
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
