import { InferenceError, type MessageBlock, type MessagesPromptBody } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';
import { checkToolUses } from './check-tool-uses.js';
import { chosenTools } from './chosen-tools.js';
import { type PlacedBlock, type Turn, turnsOf, unreadable } from './messages-turns.js';
import { show } from './show-value.js';

type PlainMessage = ChatPrompt['messages'][number];
type BlockOf<Type extends MessageBlock['type']> = Extract<MessageBlock, { type: Type }>;

/**
 * Anthropic's messages, system prompt and tools as chat templates read them, which is as OpenAI has them.
 *
 * @throws InferenceError that names Anthropic's parameters.
 */
export function messagesPromptOf(body: MessagesPromptBody): ChatPrompt {
  const turns = turnsOf(body.messages);
  checkToolUses(turns);
  const system = systemOf(body.system);
  const messages = turns.flatMap(messagesOf);
  const last = turns.at(-1)!;
  const continueFinal = last.role === 'assistant';
  if (continueFinal) checkContinued(last);
  return {
    kind: 'chat',
    messages: system === '' ? messages : [{ role: 'system', content: system }, ...messages],
    ...toolsOf(body),
    templateVariables: {},
    ...(continueFinal && { continueFinal }),
  };
}

/** Results come before what is said beside them: templates know no other order. */
function messagesOf({ role, blocks }: Turn): PlainMessage[] {
  if (role === 'assistant') return [assistantMessage(blocks)];
  const results = blocks.flatMap(({ block, param }) =>
    block.type === 'tool_result' ? [resultMessage(block, param)] : [],
  );
  const texts = textsOf(blocks);
  return texts.length === 0 ? results : [...results, { role, content: texts.join('\n') }];
}

function assistantMessage(blocks: readonly PlacedBlock[]): PlainMessage {
  const texts = textsOf(blocks);
  const thoughts = blocks.flatMap(({ block }) => (block.type === 'thinking' ? [block.thinking] : []));
  const calls = blocks.flatMap(({ block }) => (block.type === 'tool_use' ? [callOf(block)] : []));
  return {
    role: 'assistant',
    content: texts.length === 0 && calls.length > 0 ? null : texts.join('\n'),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(thoughts.some((thought) => thought !== '') && { reasoning_content: thoughts.join('\n') }),
  };
}

function textsOf(blocks: readonly PlacedBlock[]): string[] {
  return blocks.flatMap(({ block }) => (block.type === 'text' ? [block.text] : []));
}

function callOf({ id, name, input }: BlockOf<'tool_use'>) {
  return { id, type: 'function', function: { name, arguments: JSON.stringify(input ?? {}) } };
}

/** What of a result nobody else says: the message of a tool has no field for it. */
const FAILED = 'Error: ';

function resultMessage(block: BlockOf<'tool_result'>, param: string): PlainMessage {
  const text = resultText(block, `${param}.content`);
  const content = block.is_error && !/^error/i.test(text) ? FAILED + text : text;
  return { role: 'tool', tool_call_id: block.tool_use_id, content };
}

function resultText({ content }: BlockOf<'tool_result'>, param: string): string {
  if (!Array.isArray(content)) return content ?? '';
  return content
    .map((part, index) => {
      if (part.type !== 'text') throw unreadable(part.type, `${param}[${index}]`);
      return part.text;
    })
    .join('\n');
}

/**
 * What one client puts before its system prompt, for whom it pays: https://github.com/anthropics/claude-code/issues/68900. It is other in
 * each request, so that of a prompt of tens of thousands of tokens nothing would be found in the cache.
 */
const BILLING = /^x-anthropic-billing-header:[^\n]*\n?/;

function systemOf(system: MessagesPromptBody['system']): string {
  if (system == null) return '';
  const texts = typeof system === 'string' ? [system] : system.map(({ text }) => text);
  return texts
    .map((text) => text.replace(BILLING, ''))
    .filter((text) => text !== '')
    .join('\n');
}

function checkContinued({ blocks, param }: Turn): void {
  if (textsOf(blocks).some((text) => text !== '')) return;
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` is the last message and the assistant's, so that the answer goes on with it, but it has no text to go on from. Give it some, or leave it out.`,
    { param },
  );
}

type OwnTool = Extract<NonNullable<MessagesPromptBody['tools']>[number], { input_schema: unknown }>;

function toolsOf({
  tools,
  tool_choice: asked,
}: MessagesPromptBody): Pick<ChatPrompt, 'tools' | 'toolChoice' | 'parallelCalls'> {
  const own = (tools ?? []).map(ownTool);
  if (own.length === 0 && (asked?.type === 'any' || asked?.type === 'tool')) throw noTools(asked.type);
  const single = asked != null && asked.type !== 'none' && asked.disable_parallel_tool_use === true;
  const { toolPlaces: _, ...chosen } = chosenTools({
    tools: own.map(({ name, description, input_schema: parameters }) => ({
      type: 'function',
      function: { name, description, parameters },
    })),
    tool_choice: choiceOf(asked),
    parallel_tool_calls: single ? false : undefined,
  });
  return chosen;
}

function ownTool(tool: NonNullable<MessagesPromptBody['tools']>[number], index: number): OwnTool {
  if ('input_schema' in tool && (tool.type == null || tool.type === 'custom')) return tool as OwnTool;
  const param = `tools[${index}]`;
  throw new InferenceError(
    'unsupported_parameter',
    `\`${param}\` is of type ${show(tool.type)}; only tools of the caller's own, of type "custom", are known here. Leave it out, or describe it by its input_schema.`,
    { param },
  );
}

function choiceOf(asked: MessagesPromptBody['tool_choice']) {
  switch (asked?.type) {
    case undefined:
    case 'auto':
      return undefined;
    case 'none':
      return 'none';
    case 'any':
      return 'required';
    case 'tool':
      return { type: 'function', function: { name: asked.name } } as const;
  }
}

function noTools(type: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`tool_choice\` is of type ${type}, but there are no \`tools\` to choose from. Send tools, or leave tool_choice out.`,
    { param: 'tool_choice' },
  );
}
