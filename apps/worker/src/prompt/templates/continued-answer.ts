import { InferenceError } from '@millrace/contracts';
import { joinedTexts, type Message, textOfPart } from './message-shape.js';

interface Thinking {
  /** What of a template tells that it is this one. */
  readonly known: (template: string) => boolean;
  readonly open: string;
  readonly close: string;
}

const has =
  (...texts: readonly string[]) =>
  (template: string) =>
    texts.every((text) => template.includes(text));

/** How reasoning is written around what is thought; the first that is known counts. */
const THINKING: readonly Thinking[] = [
  {
    known: has('<|channel|>analysis'),
    open: '<|channel|>analysis<|message|>',
    close: '<|end|><|start|>assistant<|channel|>final<|message|>',
  },
  { known: has('<|channel>thought'), open: '<|channel>thought\n', close: '<channel|>' },
  {
    known: has('<|START_THINKING|>', '<|START_TEXT|>'),
    open: '<|START_THINKING|>',
    close: '<|END_THINKING|><|START_TEXT|>',
  },
  {
    known: has('<|START_THINKING|>', '<|START_RESPONSE|>'),
    open: '<|START_THINKING|>',
    close: '<|END_THINKING|><|START_RESPONSE|>',
  },
  { known: has('[THINK]'), open: '[THINK]', close: '[/THINK]' },
  { known: has('<seed:think>'), open: '<seed:think>', close: '</seed:think>\n' },
  { known: has('<mm:think>'), open: '<mm:think>', close: '</mm:think>' },
  // With line breaks where the template writes them, as source text or with `\n`.
  {
    known: (text) => /<think>(\\n|\n)/.test(text) && /(\\n|\n)<\/think>(\\n|\n){2}/.test(text),
    open: '<think>\n',
    close: '\n</think>\n\n',
  },
  { known: has('<think>'), open: '<think>', close: '</think>' },
];

/**
 * The prompt of an answer that goes on with the assistant's last message: what comes before it, rendered for a new
 * answer, and behind that what the message has so far. Rendering the message itself and cutting its end off would not
 * do: templates trim, and leave reasoning out.
 *
 * @param before renders the messages before the last one, for an answer to them.
 */
export function continueAnswer(
  messages: readonly Message[],
  template: string,
  before: (messages: readonly Message[]) => string,
): string {
  const last = messages.at(-1);
  const { content, reasoning } = unfinished(last, messages.length - 1);
  const opened = before(messages.slice(0, -1));
  const thinking = THINKING.find(({ known }) => known(template));
  if (thinking === undefined) return opened + content;
  const { open, close } = thinking;
  return `${withoutThinking(opened, open)}${open}${reasoning}${content === '' && reasoning !== '' ? '' : close + content}`;
}

function unfinished(message: Message | undefined, index: number): { content: string; reasoning: string } {
  const { role, content, reasoning_content: reasoning, tool_calls: calls } = message ?? {};
  if (role !== 'assistant' || (Array.isArray(calls) && calls.length > 0)) {
    throw new InferenceError(
      'invalid_request',
      `\`messages[${index}]\` can't be continued: with continue_final_message the last message must be the assistant's and have no tool calls. Leave continue_final_message out, or send such a message.`,
      { param: 'continue_final_message' },
    );
  }
  const text = Array.isArray(content)
    ? joinedTexts(content.map((part, at) => textOfPart(part, `messages[${index}].content[${at}]`)))
    : content;
  return { content: typeof text === 'string' ? text : '', reasoning: typeof reasoning === 'string' ? reasoning : '' };
}

/** The template may have opened the reasoning, or opened and closed it, for the new answer. */
function withoutThinking(prompt: string, open: string): string {
  const mark = open.trimEnd();
  const at = prompt.lastIndexOf(mark);
  // Further back it belongs to an earlier answer, or is somebody's text.
  return at >= 0 && /^(\s|<\/?[a-z:]+>|\[\/THINK\])*$/.test(prompt.slice(at + mark.length))
    ? prompt.slice(0, at)
    : prompt;
}
