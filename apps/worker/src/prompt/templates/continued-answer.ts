import { InferenceError } from '@millrace/contracts';
import { joinedTexts, type Message, textOfPart } from './message-shape.js';

export interface Thinking {
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
  {
    known: has('<|open|>', '<|close|>', '<|end_of_msg|>'),
    open: '<|open|>think<|sep|>',
    close: '<|close|>think<|sep|><|open|>response<|sep|>',
  },
  {
    known: has(' to=self<|message|>', '<|eom|>'),
    open: ' to=self<|message|>',
    close: '<|eom|><|start|>assistant to=user<|message|>',
  },
  {
    known: has('Here are my reasoning steps:', '[BEGIN FINAL RESPONSE]'),
    open: 'Here are my reasoning steps:\n',
    close: '\n[BEGIN FINAL RESPONSE]\n',
  },
  // No reasoning, but a text says to whom it goes.
  { known: has('>>>all'), open: '', close: 'all\n' },
  // With line breaks where the template writes them, as source text or with `\n`.
  {
    known: (text) => /<think>(\\n|\n)/.test(text) && /(\\n|\n)<\/think>(\\n|\n){2}/.test(text),
    open: '<think>\n',
    close: '\n</think>\n\n',
  },
  { known: has('<think>'), open: '<think>', close: '</think>' },
];

/** How a template's models write their reasoning; undefined where they have no form for it. */
export function thinkingOf(template: string): Thinking | undefined {
  return THINKING.find(({ known }) => known(template));
}

/** Words that nobody says, in place of what is to be continued. */
const THOUGHT = 'Xq7ThoughtHere';
const SAID = 'Xq7SaidHere';

/**
 * The prompt of an answer that goes on with the assistant's last message, which is rendered with other words in its place
 * and cut off before them: templates trim what they are given.
 *
 * Many leave reasoning out. Then what comes before the message is rendered for a new answer, and behind that stands the
 * reasoning in its usual form, closed before the text begins: a model that thinks was trained on no other answers.
 *
 * @param render the messages; as the beginning of a new answer, if that is asked for.
 */
export function continueAnswer(
  messages: readonly Message[],
  template: string,
  render: (messages: readonly Message[], newAnswer: boolean) => string,
): string {
  const { content, reasoning } = unfinished(messages.at(-1), messages.length - 1);
  const before = messages.slice(0, -1);
  const opened = render(before, true);
  const thinking = thinkingOf(template);
  if (thinking === undefined) return opened + content;
  if (thinking.open === '') return opened + thinking.close + content;
  const { head, close } = reasoningForm(before, render) ?? {
    head: withoutThinking(opened, thinking.open) + thinking.open,
    close: thinking.close,
  };
  return head + reasoning + (content === '' && reasoning !== '' ? '' : close + content);
}

/** What the template writes before reasoning, and between that and the text; undefined where it leaves reasoning out. */
function reasoningForm(
  before: readonly Message[],
  render: (messages: readonly Message[], newAnswer: boolean) => string,
): { readonly head: string; readonly close: string } | undefined {
  const rendered = render([...before, { role: 'assistant', content: SAID, reasoning_content: THOUGHT }], false);
  const thought = rendered.lastIndexOf(THOUGHT);
  const said = rendered.lastIndexOf(SAID);
  if (thought < 0 || said < thought) return undefined;
  return { head: rendered.slice(0, thought), close: rendered.slice(thought + THOUGHT.length, said) };
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
