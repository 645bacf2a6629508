import type { ResponseBody, ResponseItem } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import type { SqlDatabase } from '../stores/sql-database.js';
import { timedId } from '../stores/timed-ids.js';
import { openResponses, type StoredResponses, type StoredResponsesSettings } from './stored-responses.js';

export const RESPONSE_LIMITS: StoredResponsesSettings = {
  responsesKeptDays: 30,
  responsesPerKeyMax: 1_000,
  responseBytesMax: 1024 * 1024,
  conversationsKeptDays: 365,
  conversationsPerKeyMax: 1_000,
  backgroundResponsesPerKeyMax: 100,
  bodyBytesMax: 16 * 1024 * 1024,
};

const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });

export function responsesOn(
  database: SqlDatabase,
  limits: Partial<StoredResponsesSettings> = {},
  lockMs?: number,
): StoredResponses {
  return openResponses(database, { ...RESPONSE_LIMITS, ...limits }, silent, lockMs);
}

export function question(text: string, id = timedId('msg_')): ResponseItem {
  return { id, type: 'message', role: 'user', status: 'completed', content: [{ type: 'input_text', text }] };
}

export function answer(text: string, id = timedId('msg_')): ResponseBody['output'][number] {
  const part = { type: 'output_text' as const, text, annotations: [], logprobs: [] };
  return { id, type: 'message', role: 'assistant', status: 'completed', content: [part] };
}

/** One that has ended, but for what a test says. */
export function responseOf(changes: Partial<ResponseBody> = {}): ResponseBody {
  return {
    id: timedId('resp_'),
    object: 'response',
    created_at: 1,
    status: 'completed',
    background: false,
    completed_at: 2,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    max_tool_calls: null,
    model: 'demo',
    output: [],
    parallel_tool_calls: true,
    previous_response_id: null,
    conversation: null,
    prompt_cache_key: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'default',
    store: true,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    metadata: {},
    access_programs: null,
    ...changes,
  };
}

/** The texts of items, in their order. */
export function textsOf(items: readonly ResponseItem[]): string[] {
  return items.flatMap((item) =>
    item.type === 'message' ? item.content.map((part) => ('text' in part ? part.text : part.refusal)) : [item.type],
  );
}
