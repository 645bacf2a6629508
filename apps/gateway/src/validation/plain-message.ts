import { type ChatMessage, InferenceError } from '@millrace/contracts';

/** A message as chat templates read it: its content is one text, since few of them know content parts. */
export function plainMessage(message: ChatMessage, index: number): Record<string, unknown> {
  const { name, ...rest } = message;
  const { content } = message;
  const text = Array.isArray(content) ? joinedText(content, contentParam(index)) : content;
  const plain = { ...rest, content: text, ...(name != null && { name }) };
  return message.role === 'assistant' ? plainAnswer(message, plain, index) : plain;
}

type Answer = Extract<ChatMessage, { role: 'assistant' }>;

/** What is null or empty is left out, so that a template need not tell it from what was never there. */
function plainAnswer(message: Answer, plain: Record<string, unknown>, index: number): Record<string, unknown> {
  const { reasoning: _alias, reasoning_content: _own, tool_calls: calls, ...rest } = plain;
  const thought = reasoningOf(message, index);
  // An empty text is content: an answer may well have been empty, and clients send the conversation back as it was.
  if (message.content == null && !message.tool_calls?.length && !message.refusal && !thought) throw saysNothing(index);
  return {
    ...rest,
    ...(message.tool_calls?.length && { tool_calls: calls }),
    ...(thought && { reasoning_content: thought }),
  };
}

function reasoningOf({ reasoning, reasoning_content: own }: Answer, index: number): string | undefined {
  if (reasoning != null && own != null && reasoning !== own) {
    throw new InferenceError(
      'invalid_request',
      `\`messages[${index}]\` has a \`reasoning\` and another \`reasoning_content\`, which are two names of one thing. Send one.`,
      { param: `messages[${index}].reasoning` },
    );
  }
  return own ?? reasoning ?? undefined;
}

function saysNothing(index: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`messages[${index}]\` is an answer without content and without tool_calls. Give it one of them, or leave it out.`,
    { param: contentParam(index) },
  );
}

function contentParam(index: number): string {
  return `messages[${index}].content`;
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
