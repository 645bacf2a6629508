import type { Message } from './message-shape.js';

export interface CallsKnown {
  /** The template writes calls and results in the form of its own models. */
  readonly inTemplate: boolean;
  /** The model was trained on a form of its own, and needs not be told how to call. */
  readonly toModel: boolean;
}

/**
 * For templates that don't tell the model of tools: a system message does. Where they don't know calls either, calls and
 * results become texts of the ordinary roles. In the words that Hermes and Qwen were trained on, which most newer models
 * have at least seen.
 */
export function describeTools(
  messages: readonly Message[],
  tools: readonly Message[],
  { inTemplate, toModel }: CallsKnown,
): readonly Message[] {
  const told = tools.length === 0 ? messages : withDescription(messages, descriptionOf(tools, toModel));
  return inTemplate ? told : resultsTogether(told.map(withCallsAsText));
}

function descriptionOf(tools: readonly Message[], callsKnown: boolean): string {
  const listed = tools.map((tool) => JSON.stringify(tool)).join('\n');
  const described = `# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
${listed}
</tools>`;
  return callsKnown ? described : described + HOW_TO_CALL;
}

const HOW_TO_CALL = `

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`;

function withDescription(messages: readonly Message[], description: string): readonly Message[] {
  const [first, ...others] = messages;
  if (first?.role !== 'system' && first?.role !== 'developer') {
    return [{ role: 'system', content: description }, ...messages];
  }
  const { content } = first;
  const both = Array.isArray(content)
    ? [...content, { type: 'text', text: description }]
    : `${typeof content === 'string' ? content : ''}\n\n${description}`;
  return [{ ...first, content: both }, ...others];
}

function withCallsAsText(message: Message): Message {
  const { tool_calls: calls, ...rest } = message;
  if (message.role !== 'assistant' || !Array.isArray(calls) || calls.length === 0) return message;
  const { content } = message;
  const said = typeof content === 'string' && content !== '' ? [content] : [];
  return { ...rest, content: [...said, ...calls.map(callText)].join('\n') };
}

function callText(call: Message): string {
  const { name, arguments: given } = (call.function ?? {}) as Message;
  const text = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${text}}\n</tool_call>`;
}

/** Results in a row are one message of the user's, since many templates insist on roles that alternate. */
function resultsTogether(messages: readonly Message[]): readonly Message[] {
  const together: Message[] = [];
  let results: string[] = [];
  const flush = () => {
    if (results.length > 0) together.push({ role: 'user', content: results.join('\n') });
    results = [];
  };
  for (const message of messages) {
    if (message.role === 'tool') {
      results.push(`<tool_response>\n${textOf(message.content)}\n</tool_response>`);
      continue;
    }
    flush();
    together.push(message);
  }
  flush();
  return together;
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return typeof content === 'string' ? content : '';
  return content.map((part: { text?: unknown }) => (typeof part.text === 'string' ? part.text : '')).join('\n');
}
