import {
  changeStoredChatSchema,
  deletedChatSchema,
  listStoredChatsSchema,
  listStoredMessagesSchema,
  storedChatListSchema,
  storedChatSchema,
  storedMessageListSchema,
} from '../stored-chats.js';
import { type Endpoint, withErrors } from './endpoint.js';

const ID = { name: 'id', description: 'The id of the completion.' };
const LIST_ERRORS = [400, 401, 429, 500, 503];
const ONE_ERRORS = [401, 404, 429, 500, 503];

export const STORED_CHATS_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'get',
    path: '/v1/chat/completions',
    tag: 'Generation',
    summary: 'List the answers that were asked for with `store`.',
    query: listStoredChatsSchema,
    answers: withErrors({ 200: { description: 'A page of answers.', schema: storedChatListSchema } }, LIST_ERRORS),
  },
  {
    method: 'get',
    path: '/v1/chat/completions/{id}',
    tag: 'Generation',
    summary: 'One answer that is kept.',
    answers: withErrors({ 200: { description: 'The answer.', schema: storedChatSchema } }, ONE_ERRORS),
    pathParameters: [ID],
  },
  {
    method: 'post',
    path: '/v1/chat/completions/{id}',
    tag: 'Generation',
    summary: 'Change the metadata of an answer that is kept.',
    body: changeStoredChatSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: storedChatSchema } }, [
      ...[400, 401, 404, 413, 415],
      ...[429, 500, 503],
    ]),
    pathParameters: [ID],
  },
  {
    method: 'delete',
    path: '/v1/chat/completions/{id}',
    tag: 'Generation',
    summary: 'Forget an answer that is kept.',
    answers: withErrors({ 200: { description: 'It is forgotten.', schema: deletedChatSchema } }, ONE_ERRORS),
    pathParameters: [ID],
  },
  {
    method: 'get',
    path: '/v1/chat/completions/{id}/messages',
    tag: 'Generation',
    summary: 'The messages that an answer that is kept is an answer to.',
    query: listStoredMessagesSchema,
    answers: withErrors({ 200: { description: 'A page of messages.', schema: storedMessageListSchema } }, [
      ...LIST_ERRORS,
      404,
    ]),
    pathParameters: [ID],
  },
];
