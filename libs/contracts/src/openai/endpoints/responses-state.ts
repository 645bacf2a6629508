import { responseItemSchema } from '../response-items.js';
import { responseEventSchema, responseSchema } from '../responses.js';
import {
  changeConversationSchema,
  conversationSchema,
  createConversationItemsSchema,
  createConversationSchema,
  deletedConversationSchema,
  deletedResponseSchema,
  includeQuerySchema,
  itemListSchema,
  listInputItemsSchema,
  retrieveResponseSchema,
} from '../responses-state.js';
import { type Endpoint, withErrors } from './endpoint.js';

const RESPONSE_ID = { name: 'id', description: 'The id of the response.' };
const CONVERSATION_ID = { name: 'id', description: 'The id of the conversation.' };
const ITEM_ID = { name: 'item', description: 'The id of the item.' };
const STATE_ERRORS = [400, 401, 404, 429, 500, 503];
const CONVERSATION_ERRORS = [400, 401, 404, 409, 413, 415, 429, 500, 503];

export const RESPONSES_STATE_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'get',
    path: '/v1/responses/{id}',
    tag: 'Responses',
    summary: 'A response that is kept, as far as it is; or its events.',
    query: retrieveResponseSchema,
    streamed: responseEventSchema,
    answers: withErrors({ 200: { description: 'The response.', schema: responseSchema } }, STATE_ERRORS),
    pathParameters: [RESPONSE_ID],
  },
  {
    method: 'delete',
    path: '/v1/responses/{id}',
    tag: 'Responses',
    summary: 'Delete a response. Nothing can go on from it any more.',
    answers: withErrors({ 200: { description: 'It is deleted.', schema: deletedResponseSchema } }, STATE_ERRORS),
    pathParameters: [RESPONSE_ID],
  },
  {
    method: 'post',
    path: '/v1/responses/{id}/cancel',
    tag: 'Responses',
    summary: 'End a response that is answered in the background. One that has ended stays as it is.',
    answers: withErrors({ 200: { description: 'The response.', schema: responseSchema } }, STATE_ERRORS),
    pathParameters: [RESPONSE_ID],
  },
  {
    method: 'get',
    path: '/v1/responses/{id}/input_items',
    tag: 'Responses',
    summary: 'What a response was asked, item by item.',
    query: listInputItemsSchema,
    answers: withErrors({ 200: { description: 'A page of items.', schema: itemListSchema } }, STATE_ERRORS),
    pathParameters: [RESPONSE_ID],
  },
  {
    method: 'post',
    path: '/v1/conversations',
    tag: 'Conversations',
    summary: 'Make a conversation.',
    body: createConversationSchema,
    bodyIsOptional: true,
    answers: withErrors({ 200: { description: 'The conversation.', schema: conversationSchema } }, CONVERSATION_ERRORS),
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}',
    tag: 'Conversations',
    summary: 'One conversation.',
    answers: withErrors({ 200: { description: 'The conversation.', schema: conversationSchema } }, STATE_ERRORS),
    pathParameters: [CONVERSATION_ID],
  },
  {
    method: 'post',
    path: '/v1/conversations/{id}',
    tag: 'Conversations',
    summary: 'Replace the metadata of a conversation.',
    body: changeConversationSchema,
    answers: withErrors(
      { 200: { description: 'The conversation, changed.', schema: conversationSchema } },
      CONVERSATION_ERRORS,
    ),
    pathParameters: [CONVERSATION_ID],
  },
  {
    method: 'delete',
    path: '/v1/conversations/{id}',
    tag: 'Conversations',
    summary: 'Delete a conversation, with its items. Responses that were made on it stay.',
    answers: withErrors({ 200: { description: 'It is deleted.', schema: deletedConversationSchema } }, STATE_ERRORS),
    pathParameters: [CONVERSATION_ID],
  },
  {
    method: 'post',
    path: '/v1/conversations/{id}/items',
    tag: 'Conversations',
    summary: 'Append items to a conversation.',
    body: createConversationItemsSchema,
    query: includeQuerySchema,
    answers: withErrors(
      { 200: { description: 'The items as they are kept.', schema: itemListSchema } },
      CONVERSATION_ERRORS,
    ),
    pathParameters: [CONVERSATION_ID],
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}/items',
    tag: 'Conversations',
    summary: 'What is in a conversation.',
    query: listInputItemsSchema,
    answers: withErrors({ 200: { description: 'A page of items.', schema: itemListSchema } }, STATE_ERRORS),
    pathParameters: [CONVERSATION_ID],
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}/items/{item}',
    tag: 'Conversations',
    summary: 'One item of a conversation.',
    query: includeQuerySchema,
    answers: withErrors({ 200: { description: 'The item.', schema: responseItemSchema } }, STATE_ERRORS),
    pathParameters: [CONVERSATION_ID, ITEM_ID],
  },
  {
    method: 'delete',
    path: '/v1/conversations/{id}/items/{item}',
    tag: 'Conversations',
    summary: 'Remove an item from a conversation.',
    answers: withErrors(
      { 200: { description: 'The conversation that it was in.', schema: conversationSchema } },
      CONVERSATION_ERRORS,
    ),
    pathParameters: [CONVERSATION_ID, ITEM_ID],
  },
];
