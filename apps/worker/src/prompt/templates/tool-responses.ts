import type { Message } from './message-shape.js';

/** Whether a template wants results in the message that called, as Gemma 4's first ones do: they know no tool messages. */
export function wantsToolResponses(template: string): boolean {
  return template.includes("'<|tool_call>call:'") && !template.includes('{#- OpenAI Chat Completions:');
}

/**
 * Puts results, and the text that answers them, into the message whose calls they answer.
 *
 * @param messages already shaped.
 */
export function withToolResponses(messages: readonly Message[]): readonly Message[] {
  const joined: Message[] = [];
  for (let at = 0; at < messages.length; ) {
    const message = messages[at++]!;
    if (!calls(message)) {
      joined.push(message);
      continue;
    }
    const results: Message[] = [];
    while (messages[at]?.role === 'tool') results.push(messages[at++]!);
    const next = messages[at];
    const answers = next?.role === 'assistant' && !calls(next) && hasContent(next);
    if (answers) at++;
    joined.push(joinedTurn(message, results, answers ? next.content : undefined));
  }
  return joined;
}

function joinedTurn(message: Message, results: readonly Message[], answer: unknown): Message {
  const { role, tool_calls: called, reasoning_content: reasoning } = message;
  const names = (called as readonly Message[]).map((call) => (call.function as Message | undefined)?.name);
  const responses = results.map(({ content, tool_call_id: id }, index) => ({
    name: names[index] ?? id ?? '',
    response: parsed(content),
  }));
  return {
    role,
    tool_calls: called,
    ...(responses.length > 0 && { tool_responses: responses }),
    ...(answer !== undefined && { content: answer }),
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
  };
}

function parsed(content: unknown): unknown {
  if (typeof content !== 'string') return content;
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

function calls({ role, tool_calls: called }: Message): boolean {
  return role === 'assistant' && Array.isArray(called) && called.length > 0;
}

function hasContent({ content }: Message): boolean {
  return content !== '' && !(Array.isArray(content) && content.length === 0);
}
