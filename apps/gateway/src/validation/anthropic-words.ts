import { InferenceError, PROMPT_TOO_LONG } from '@millrace/contracts';

/** What stages and workers call a parameter, and what it is called where Anthropic's words were used. */
const WORDS: readonly (readonly [ours: RegExp, theirs: string])[] = [
  [/^(tools\[\d+\])\.function\.parameters/, '$1.input_schema'],
  [/^(tools\[\d+\])\.function\b/, '$1'],
  [/^tool_choice\.function\b/, 'tool_choice'],
  [/^parallel_tool_calls$/, 'tool_choice.disable_parallel_tool_use'],
  [/^response_format(\.json_schema)?/, 'output_config.format'],
  [/^reasoning_effort$/, 'thinking'],
  [/^stop$/, 'stop_sequences'],
  [/^continue_final_message$/, 'messages'],
];

/** What has no parameter of its own in Anthropic's words, as a sentence has it. */
const SAID: Readonly<Record<string, string>> = {
  '`continue_final_message`': 'A last message of the assistant’s, for the answer to go on with,',
};

/** What is wrong with a parameter, under the name by which it was sent. */
export function inAnthropicWords(error: unknown): unknown {
  if (!(error instanceof InferenceError)) return error;
  const { code, message, details } = error;
  if (code === 'context_length_exceeded') {
    // Agents look for these words at the beginning, and then shorten the conversation.
    return said(`${PROMPT_TOO_LONG}: ${message.replace(` (${PROMPT_TOO_LONG})`, '')}`, error);
  }
  const { param } = details;
  if (param === undefined) return error;
  const theirs = theirsOf(param);
  const renamed = theirs === param ? message : message.replace(/`([^`]+)`/g, renamedQuote);
  // Their errors have no other place for it than the sentence.
  return said(message.includes(param) ? renamed : `\`${theirs}\`: ${renamed}`, error, theirs);
}

function said(message: string, error: InferenceError, param = error.details.param): InferenceError {
  if (message === error.message) return error;
  return new InferenceError(error.code, message, { ...error.details, param, cause: error });
}

function renamedQuote(quoted: string, name: string): string {
  return SAID[quoted] ?? `\`${theirsOf(name)}\``;
}

function theirsOf(name: string): string {
  const [ours, theirs] = WORDS.find(([ours]) => ours.test(name)) ?? [];
  return ours === undefined || theirs === undefined ? name : name.replace(ours, theirs);
}
