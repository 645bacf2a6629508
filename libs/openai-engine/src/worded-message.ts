import type { Preset } from './presets.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * A message as the upstream wants it. What a kind of server doesn't know it refuses the whole request for, or takes for
 * something else, so nothing goes out that need not.
 */
export function wordedMessage(message: Fields, { chat }: Preset): Fields {
  const { role, name, reasoning_content: thought, refusal, ...rest } = message;
  return {
    role: role === 'developer' && !chat.developer ? 'system' : role,
    ...rest,
    ...(name !== undefined && chat.names && { name }),
    ...(typeof thought === 'string' && chat.reasoningBack !== undefined && { [chat.reasoningBack]: thought }),
    ...refused(refusal, rest.content, chat.refusals),
  };
}

/** Where nobody knows what a refusal is, it was what the assistant said. */
function refused(refusal: unknown, content: unknown, known: boolean): Fields {
  if (typeof refusal !== 'string' || refusal === '') return {};
  if (known) return { refusal };
  return content === undefined || content === null || content === '' ? { content: refusal } : {};
}
