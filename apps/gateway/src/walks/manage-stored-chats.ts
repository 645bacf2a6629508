import {
  type ChatMessage,
  type DeletedChatBody,
  InferenceError,
  type StoredChatBody,
  type StoredChatListBody,
  type StoredMessageBody,
  type StoredMessageListBody,
} from '@millrace/contracts';
import type { StoredChat, StoredChats } from '../stored-chats/stored-chats.js';
import {
  parseChangeStoredChat,
  parseListStoredChats,
  parseListStoredMessages,
} from '../validation/parse-stored-chat-requests.js';
import type { Call } from '../vocabulary.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';

/** What becomes of chat completions that were asked for with `store`: they are found, changed and forgotten. */
export class ManageStoredChats {
  constructor(
    private readonly calls: StoredCalls,
    private readonly stored: StoredChats,
  ) {}

  list(query: unknown, call: Call): Promise<StoredChatListBody> {
    return this.#run(call, async (owner) => {
      const { metadata, ...ask } = parseListStoredChats(query);
      const { chats, hasMore } = await this.stored.list(owner, { ...ask, metadata: metadata ?? {} });
      return listBody(chats.map(storedChatBody), hasMore);
    });
  }

  find(id: string, call: Call): Promise<StoredChatBody> {
    return this.#run(call, async (owner) => storedChatBody(await this.stored.find(owner, id)));
  }

  change(id: string, body: unknown, call: Call): Promise<StoredChatBody> {
    return this.#run(call, async (owner) =>
      storedChatBody(await this.stored.change(owner, id, parseChangeStoredChat(body))),
    );
  }

  remove(id: string, call: Call): Promise<DeletedChatBody> {
    return this.#run(call, async (owner) => {
      await this.stored.remove(owner, id);
      return { id, object: 'chat.completion.deleted', deleted: true };
    });
  }

  messages(id: string, query: unknown, call: Call): Promise<StoredMessageListBody> {
    return this.#run(call, async (owner) => {
      const { after, limit, order } = parseListStoredMessages(query);
      const messages = (await this.stored.messages(owner, id)) as readonly ChatMessage[];
      const bodies = messages.map((message, index) => messageBody(message, messageId(id, index)));
      if (order === 'desc') bodies.reverse();
      const from = after === undefined ? 0 : 1 + placeOf(after, bodies);
      return listBody(bodies.slice(from, from + limit), bodies.length > from + limit);
    });
  }

  #run<T>(call: Call, work: (owner: string | undefined) => Promise<T>): Promise<T> {
    return this.calls.run('stored_chats', call, () => work(call.caller.keyId));
  }
}

function storedChatBody({ completion, metadata }: StoredChat): StoredChatBody {
  return { ...completion, metadata: { ...metadata } };
}

const messageId = (id: string, index: number): string => `${id}-${index}`;

function placeOf(after: string, bodies: readonly StoredMessageBody[]): number {
  const place = bodies.findIndex(({ id }) => id === after);
  if (place !== -1) return place;
  throw new InferenceError(
    'invalid_request',
    `\`after\` is ${JSON.stringify(after)}, and none of the ${bodies.length} messages of this completion has that id. Send the id of the last one that was listed.`,
    { param: 'after' },
  );
}

function messageBody(message: ChatMessage, id: string): StoredMessageBody {
  const { role, content, name } = message;
  const parts = Array.isArray(content) ? content : null;
  const body = { id, role, content: parts === null ? ((content as string | null | undefined) ?? null) : textOf(parts) };
  const common = { ...body, content_parts: parts, refusal: null, name: name ?? null };
  if (message.role === 'tool') return { ...common, tool_call_id: message.tool_call_id };
  if (message.role !== 'assistant') return common;
  return {
    ...common,
    refusal: message.refusal ?? null,
    ...(message.tool_calls && { tool_calls: message.tool_calls }),
    ...(message.function_call && { function_call: message.function_call }),
  };
}

/** Of parts that have any: others were refused. */
function textOf(parts: readonly object[]): string {
  return parts.map((part) => ('text' in part ? part.text : 'refusal' in part ? part.refusal : '')).join('\n');
}
