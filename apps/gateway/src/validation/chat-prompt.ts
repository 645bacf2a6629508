import { type ChatPromptBody, effortOf, InferenceError } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';
import { checkToolResults } from './check-tool-results.js';
import { type ChosenTools, chosenTools } from './chosen-tools.js';
import { documentsOf } from './documents-of.js';
import { plainMessage } from './plain-message.js';
import { inTodaysForm } from './todays-form.js';

/** What has a parameter of its own, which is checked; among the variables it would go past that. */
const NO_VARIABLES = [
  'messages',
  'tools',
  'tool_choice',
  'functions',
  'function_call',
  'add_generation_prompt',
  'continue_final_message',
] as const satisfies readonly (keyof ChatPromptBody)[];

/** A chat, with whatever else its prompt is made from. */
export function chatPromptOf(sent: ChatPromptBody): {
  readonly prompt: ChatPrompt;
  readonly toolPlaces: ChosenTools['toolPlaces'];
} {
  refuseVariables(sent);
  const body = inTodaysForm(sent);
  const messages = body.messages.map(plainMessage);
  checkToolResults(body.messages);
  const { toolPlaces, ...tools } = chosenTools(body);
  const prompt: ChatPrompt = {
    kind: 'chat',
    messages,
    ...tools,
    ...documentsOf(body),
    continueFinal: continuesFinal(body) || undefined,
    reasoningEffort: effortOf(body.reasoning_effort),
  };
  return { prompt, toolPlaces };
}

function refuseVariables({ chat_template_kwargs: variables }: ChatPromptBody): void {
  const name = NO_VARIABLES.find((name) => variables != null && Object.hasOwn(variables, name));
  if (name === undefined) return;
  throw new InferenceError(
    'invalid_request',
    `\`chat_template_kwargs.${name}\` is no variable of a template here. Send \`${name}\` as a parameter of its own.`,
    { param: `chat_template_kwargs.${name}` },
  );
}

/** Whether the answer goes on with the last message, of which there must then be something to go on from. */
function continuesFinal(body: ChatPromptBody): boolean {
  const { messages, continue_final_message: asked, add_generation_prompt: opened } = body;
  if (!asked) {
    if (opened === false) throw neitherBeginsNorContinues();
    return false;
  }
  if (opened === true) throw beginsAndContinues();
  const last = messages.at(-1)!;
  const param = `messages[${messages.length - 1}]`;
  if (last.role !== 'assistant') throw nothingToContinue(param, `has the role ${last.role}`);
  if (last.tool_calls?.length) throw nothingToContinue(param, 'ends with tool calls');
  if (!last.content?.length) throw nothingToContinue(param, 'has no content');
  return true;
}

function neitherBeginsNorContinues(): InferenceError {
  const param = 'add_generation_prompt';
  return new InferenceError(
    'unsupported_parameter',
    `\`${param}\` is false without \`continue_final_message\`: the prompt would end where no answer begins. Leave it out, or continue the last message.`,
    { param },
  );
}

function beginsAndContinues(): InferenceError {
  return new InferenceError(
    'invalid_request',
    '`continue_final_message` and `add_generation_prompt` are both true: an answer either goes on with the last message or begins a new one. Set one of them to false.',
    { param: 'continue_final_message' },
  );
}

function nothingToContinue(message: string, why: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`continue_final_message\` is true, but \`${message}\` ${why}. Let the last message be the assistant's, with the text to go on from.`,
    { param: 'continue_final_message' },
  );
}
