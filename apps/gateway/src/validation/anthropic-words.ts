import { InferenceError } from '@millrace/contracts';

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
  const { param } = details;
  if (param === undefined || theirsOf(param) === param) return error;
  const said = message.replace(/`([^`]+)`/g, (quoted, name: string) => SAID[quoted] ?? `\`${theirsOf(name)}\``);
  return new InferenceError(code, said, { ...details, param: theirsOf(param), cause: error });
}

function theirsOf(name: string): string {
  const [ours, theirs] = WORDS.find(([ours]) => ours.test(name)) ?? [];
  return ours === undefined || theirs === undefined ? name : name.replace(ours, theirs);
}
