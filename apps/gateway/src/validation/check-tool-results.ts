import { type ChatMessage, InferenceError } from '@millrace/contracts';
import { show } from './show-value.js';

/** The calls of the last assistant message, until all were answered. */
interface OpenCalls {
  /** Where the message stands. */
  readonly message: number;
  readonly unanswered: Set<string>;
  readonly answered: Set<string>;
}

/**
 * Every tool call is answered by one tool message before the next other message, and nothing else is: templates and
 * models know no other order, and would pair a result with the wrong call without a word.
 */
export function checkToolResults(messages: readonly ChatMessage[]): void {
  let calls: OpenCalls | undefined;
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      answer(calls, message.tool_call_id, index);
      continue;
    }
    refuseUnanswered(calls);
    calls = message.role === 'assistant' && message.tool_calls?.length ? open(message.tool_calls, index) : undefined;
  }
  refuseUnanswered(calls);
}

function open(toolCalls: readonly { readonly id: string }[], message: number): OpenCalls {
  const unanswered = new Set<string>();
  for (const [index, { id }] of toolCalls.entries()) {
    const param = `messages[${message}].tool_calls[${index}].id`;
    if (unanswered.has(id))
      throw refusal(`\`${param}\` is ${show(id)}, as another call's is. Give each its own.`, param);
    unanswered.add(id);
  }
  return { message, unanswered, answered: new Set() };
}

function answer(calls: OpenCalls | undefined, id: string, index: number): void {
  const param = `messages[${index}].tool_call_id`;
  if (calls === undefined) {
    throw refusal(
      `\`messages[${index}]\` has the role tool, but no message with tool_calls stands before it. Messages with role 'tool' must be a response to a preceding message with 'tool_calls'.`,
      param,
    );
  }
  if (calls.answered.has(id)) {
    throw refusal(`\`${param}\` is ${show(id)}, and that call was answered before. Send one result for each.`, param);
  }
  if (!calls.unanswered.delete(id)) {
    throw refusal(
      `\`${param}\` is ${show(id)}; no call in \`messages[${calls.message}].tool_calls\` has that id. Send the id of the call that is answered.`,
      param,
    );
  }
  calls.answered.add(id);
}

/** So many ids a message names. */
const SHOWN_IDS_MAX = 5;

function refuseUnanswered(calls: OpenCalls | undefined): void {
  if (calls === undefined || calls.unanswered.size === 0) return;
  const missing = [...calls.unanswered].slice(0, SHOWN_IDS_MAX).map(show).join(', ');
  const more = calls.unanswered.size - SHOWN_IDS_MAX;
  const all = more > 0 ? `${missing} and ${more} more` : missing;
  // OpenAI's words: clients of agents look for them.
  throw refusal(
    `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. These of \`messages[${calls.message}]\` have none: ${all}.`,
    `messages[${calls.message}].tool_calls`,
  );
}

function refusal(sentence: string, param: string): InferenceError {
  return new InferenceError('invalid_request', sentence, { param });
}
