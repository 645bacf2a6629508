import * as z from 'zod';
import { chatCompletionSchema, functionCallSchema, toolCallSchema } from './chat.js';
import { keptText, metadata, type ParameterTable, recordOf } from './fields.js';
import { listOf } from './list-of.js';

/** Chat completions that are kept: https://platform.openai.com/docs/api-reference/chat/list. */

const LISTED_MAX = 100;
const LISTED_DEFAULT = 20;
const MODEL_LENGTH_MAX = 500;

const limit = z.coerce.number().int().min(1).max(LISTED_MAX).default(LISTED_DEFAULT);
const order = z.enum(['asc', 'desc']).default('asc').describe('By the time of their making.');

export const listStoredChatsSchema = z
  .object({
    after: keptText(100).optional().describe('The id of a completion: the list goes on behind it.'),
    limit,
    order,
    model: keptText(MODEL_LENGTH_MAX).optional().describe('Which model has answered.'),
    metadata: metadata.describe('Only those with all of these: `metadata[key]=value`.'),
  })
  .meta({ id: 'ListChatCompletionsQuery' });

export const LIST_STORED_CHATS_PARAMETERS = {
  after: { status: 'supported' },
  limit: {
    status: 'supported',
    note: `1 to ${LISTED_MAX}; left out: ${LISTED_DEFAULT}. A page may have fewer where they are long.`,
  },
  order: { status: 'supported', note: '`asc` if left out.' },
  model: { status: 'supported', note: 'The model that answered, by its own name.' },
  metadata: { status: 'supported', note: '`metadata[key]=value`, once for each key: those with all of them.' },
} as const satisfies ParameterTable;

export const listStoredMessagesSchema = z
  .object({
    after: keptText(120).optional().describe('The id of a message: the list goes on behind it.'),
    limit,
    order: order.describe('As they were sent, or the other way round.'),
  })
  .meta({ id: 'ListChatCompletionMessagesQuery' });

export const LIST_STORED_MESSAGES_PARAMETERS = {
  after: { status: 'supported' },
  limit: { status: 'supported', note: `1 to ${LISTED_MAX}; left out: ${LISTED_DEFAULT}.` },
  order: { status: 'supported', note: '`asc` if left out.' },
} as const satisfies ParameterTable;

export const changeStoredChatSchema = z
  .object({ metadata: metadata.unwrap().unwrap().nullable() })
  .meta({ id: 'UpdateChatCompletionRequest' });

export const CHANGE_STORED_CHAT_PARAMETERS = {
  metadata: { status: 'supported', note: 'In place of what there was; `null`: none.' },
} as const satisfies ParameterTable;

const keptMetadata = recordOf(16, { additionalProperties: { type: 'string' } }).pipe(z.record(z.string(), z.string()));

export const storedChatSchema = chatCompletionSchema
  .extend({ metadata: keptMetadata })
  .meta({ id: 'StoredChatCompletion' });

export const storedChatListSchema = listOf(storedChatSchema, 'ChatCompletionList');

export const deletedChatSchema = z
  .object({ id: z.string(), object: z.literal('chat.completion.deleted'), deleted: z.literal(true) })
  .meta({ id: 'ChatCompletionDeleted' });

export const storedMessageSchema = z
  .object({
    id: z.string(),
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
    content: z.string().nullable().describe('The text; of parts, their texts, a line each.'),
    content_parts: z
      .array(z.object({ type: z.string() }).loose())
      .nullable()
      .describe('The parts, where the content was sent as parts.'),
    refusal: z.string().nullable(),
    name: z.string().nullable(),
    tool_calls: z.array(toolCallSchema).optional(),
    function_call: functionCallSchema.optional(),
    tool_call_id: z.string().optional(),
  })
  .meta({ id: 'ChatCompletionStoreMessage' });

export const storedMessageListSchema = listOf(storedMessageSchema, 'ChatCompletionMessageList');

export type ListStoredChatsQuery = z.infer<typeof listStoredChatsSchema>;
export type ListStoredMessagesQuery = z.infer<typeof listStoredMessagesSchema>;
export type StoredChatBody = z.infer<typeof storedChatSchema>;
export type StoredChatListBody = z.infer<typeof storedChatListSchema>;
export type DeletedChatBody = z.infer<typeof deletedChatSchema>;
export type StoredMessageBody = z.infer<typeof storedMessageSchema>;
export type StoredMessageListBody = z.infer<typeof storedMessageListSchema>;
