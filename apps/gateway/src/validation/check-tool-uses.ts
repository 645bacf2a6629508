import { InferenceError } from '@millrace/contracts';
import type { PlacedBlock, Turn } from './messages-turns.js';
import { show } from './show-value.js';

/** As `checkToolResults`: every call is answered in the turn behind it, once, and nothing else is. */
export function checkToolUses(turns: readonly Turn[]): void {
  let open: ReadonlyMap<string, string> = new Map();
  for (const { role, blocks, param } of turns) {
    answer(open, blocks, param);
    open = role === 'assistant' ? callsIn(blocks) : new Map();
  }
  if (open.size > 0) throw unanswered([...open]);
}

/** Where each call stands, by its id. */
function callsIn(blocks: readonly PlacedBlock[]): Map<string, string> {
  const calls = new Map<string, string>();
  for (const { block, param } of blocks) {
    if (block.type !== 'tool_use') continue;
    if (calls.has(block.id)) {
      throw refusal(`\`${param}.id\` is ${show(block.id)}, as another call's is. Give each its own.`, `${param}.id`);
    }
    calls.set(block.id, param);
  }
  return calls;
}

function answer(open: ReadonlyMap<string, string>, blocks: readonly PlacedBlock[], turn: string): void {
  const left = new Map(open);
  for (const { block, param } of blocks) {
    if (block.type !== 'tool_result') continue;
    const { tool_use_id: id } = block;
    if (left.delete(id)) continue;
    const why = open.has(id) ? 'and that call was answered before' : 'and the turn before has no tool_use of that id';
    throw refusal(
      `\`${param}.tool_use_id\` is ${show(id)}, ${why}. Send one \`tool_result\` for each \`tool_use\`.`,
      `${param}.tool_use_id`,
    );
  }
  if (left.size > 0) throw unanswered([...left], turn);
}

/** So many ids a message names. */
const SHOWN_IDS_MAX = 5;

function unanswered(calls: readonly (readonly [id: string, param: string])[], turn?: string): InferenceError {
  const shown = calls.slice(0, SHOWN_IDS_MAX).map(([id]) => id);
  const more = calls.length - shown.length;
  const ids = more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
  const where = turn === undefined ? 'there is no message behind it' : `\`${turn}\` has none`;
  // Anthropic's words: clients of agents look for them.
  return refusal(
    `\`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${ids.slice(0, 500)}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message; ${where}.`,
    calls[0]![1],
  );
}

function refusal(sentence: string, param: string): InferenceError {
  return new InferenceError('invalid_request', sentence, { param });
}
