import * as z from 'zod';
import { metadata, type ParameterTable } from './fields.js';
import { listOf } from './list-of.js';
import { inputItemSchema, responseItemSchema } from './response-items.js';
import { INCLUDES } from './responses.js';

/**
 * What is kept of OpenAI's responses, and conversations: https://platform.openai.com/docs/api-reference/responses and
 * https://platform.openai.com/docs/api-reference/conversations.
 */

/** OpenAI's limit of one request. */
export const CONVERSATION_ITEMS_MAX = 20;
const INCLUDES_MAX = 100;

const includable = z.enum(INCLUDES);
/** In a query one of them may stand alone. */
const include = z.union([includable, z.array(includable).max(INCLUDES_MAX)]).optional();
const truth = z.enum(['true', 'false']).optional();

const paging = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc').describe('`asc`: from the oldest on.'),
  after: z.string().max(512).optional().describe('The id of an item: the page begins behind it.'),
  include,
};

export const retrieveResponseSchema = z
  .object({
    stream: truth.describe('Of a response that is answered in the background with `stream`: true, its events.'),
    starting_after: z.coerce
      .number()
      .int()
      .min(0)
      .max(2_147_483_647)
      .optional()
      .describe('A sequence number: events begin behind it.'),
    include,
    include_obfuscation: truth,
  })
  .meta({ id: 'RetrieveResponseQuery' });

const INCLUDE_NOTE =
  '`file_search_call.results`: what searches found, also where nobody asked for it when they were made; `reasoning.encrypted_content` likewise. What was asked for then is there in any case; any other name is accepted, and without effect.';

export const RETRIEVE_RESPONSE_PARAMETERS = {
  stream: {
    status: 'supported',
    note: 'Of a response that was made with `background` and `stream`; of any other a 400, as at OpenAI.',
  },
  starting_after: { status: 'supported', note: 'Only with `stream`.' },
  include: { status: 'supported', note: INCLUDE_NOTE },
  include_obfuscation: { status: 'ignored', note: 'Nothing is padded.' },
} as const satisfies ParameterTable;

export const listInputItemsSchema = z.object(paging).meta({ id: 'ListInputItemsQuery' });

export const LIST_INPUT_ITEMS_PARAMETERS = {
  limit: { status: 'supported', note: '1 to 100; left out, 20.' },
  order: { status: 'supported', note: 'Left out, `desc`: the newest first.' },
  after: { status: 'supported' },
  include: { status: 'supported', note: INCLUDE_NOTE },
} as const satisfies ParameterTable;

const items = z.array(inputItemSchema).max(CONVERSATION_ITEMS_MAX);
const ITEMS_NOTE = `Up to ${CONVERSATION_ITEMS_MAX}, as in the \`input\` of a response; what is named by \`item_reference\` is copied. An item whose id the conversation has already gets a new one.`;

export const createConversationSchema = z
  .object({ items: items.nullish(), metadata })
  .meta({ id: 'CreateConversationRequest' });

export const CREATE_CONVERSATION_PARAMETERS = {
  items: { status: 'supported', note: ITEMS_NOTE },
  metadata: { status: 'supported' },
} as const satisfies ParameterTable;

export const changeConversationSchema = z.object({ metadata }).meta({ id: 'ChangeConversationRequest' });

export const CHANGE_CONVERSATION_PARAMETERS = {
  metadata: { status: 'supported', note: 'All of it is replaced.' },
} as const satisfies ParameterTable;

export const createConversationItemsSchema = z.object({ items }).meta({ id: 'CreateConversationItemsRequest' });

export const CREATE_CONVERSATION_ITEMS_PARAMETERS = {
  items: { status: 'supported', note: ITEMS_NOTE },
} as const satisfies ParameterTable;

export const includeQuerySchema = z.object({ include }).meta({ id: 'IncludeQuery' });
export const INCLUDE_PARAMETERS = { include: LIST_INPUT_ITEMS_PARAMETERS.include } as const satisfies ParameterTable;

export const conversationSchema = z
  .object({
    id: z.string(),
    object: z.literal('conversation'),
    created_at: z.int(),
    metadata: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Conversation' });

export const deletedConversationSchema = z
  .object({ id: z.string(), object: z.literal('conversation.deleted'), deleted: z.literal(true) })
  .meta({ id: 'DeletedConversation' });

export const deletedResponseSchema = z
  .object({ id: z.string(), object: z.literal('response'), deleted: z.literal(true) })
  .meta({ id: 'DeletedResponse' });

export const itemListSchema = listOf(responseItemSchema, 'ResponseItemList');

export type RetrieveResponseQuery = z.infer<typeof retrieveResponseSchema>;
export type ListItemsQuery = z.infer<typeof listInputItemsSchema>;
export type CreateConversationBody = z.infer<typeof createConversationSchema>;
export type ConversationBody = z.infer<typeof conversationSchema>;
export type ItemListBody = z.infer<typeof itemListSchema>;
