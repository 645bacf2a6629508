import {
  CHANGE_STORED_CHAT_PARAMETERS,
  changeStoredChatSchema,
  LIST_STORED_CHATS_PARAMETERS,
  LIST_STORED_MESSAGES_PARAMETERS,
  type ListStoredChatsQuery,
  type ListStoredMessagesQuery,
  listStoredChatsSchema,
  listStoredMessagesSchema,
} from '@millrace/contracts';
import { checkBody } from './check-body.js';

/** What comes with chat completions that are kept. @throws InferenceError a 400 that names the field. */

export function parseListStoredChats(query: unknown): ListStoredChatsQuery {
  return checkBody(withMetadata(query ?? {}), LIST_STORED_CHATS_PARAMETERS, listStoredChatsSchema);
}

export function parseListStoredMessages(query: unknown): ListStoredMessagesQuery {
  return checkBody(query ?? {}, LIST_STORED_MESSAGES_PARAMETERS, listStoredMessagesSchema);
}

export function parseChangeStoredChat(body: unknown): Readonly<Record<string, string>> {
  return checkBody(body, CHANGE_STORED_CHAT_PARAMETERS, changeStoredChatSchema).metadata ?? {};
}

/** A query has texts alone: `metadata[of]=tests` is the object that it stands for. */
function withMetadata(query: object): object {
  const named = Object.entries(query).map(([name, value]) => ({
    name,
    value,
    key: /^metadata\[(.*)\]$/s.exec(name)?.[1],
  }));
  const metadata = named.flatMap(({ key, value }) => (key === undefined ? [] : [[key, value]]));
  const rest = named.flatMap(({ name, value, key }) => (key === undefined ? [[name, value]] : []));
  // A `metadata` of its own comes last, and is refused as the text that it is: passed over, it would be a filter that lets everything through.
  return Object.fromEntries(metadata.length === 0 ? rest : [['metadata', Object.fromEntries(metadata)], ...rest]);
}
