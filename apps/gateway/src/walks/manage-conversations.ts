import type { ConversationBody, InputItem, ItemListBody, ResponseItem } from '@millrace/contracts';
import type { ConversationRow, ConversationStore } from '../responses/conversation-store.js';
import type { ResponseStore } from '../responses/response-store.js';
import {
  parseChangeConversation,
  parseCreateConversation,
  parseCreateItems,
  parseInclude,
  parseListItems,
} from '../validation/parse-response-state-requests.js';
import { completeItems, referencesIn } from '../validation/response-items.js';
import type { Call } from '../vocabulary.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';
import type { ToldItems } from './told-items.js';

/** /v1/conversations. What is said on them is respond.ts. */
export class ManageConversations {
  constructor(
    private readonly calls: StoredCalls,
    private readonly conversations: ConversationStore,
    private readonly responses: Pick<ResponseStore, 'items'>,
    private readonly told: ToldItems,
  ) {}

  create(body: unknown, call: Call): Promise<ConversationBody> {
    return this.#run(call, async (owner) => {
      const { metadata, items } = parseCreateConversation(body);
      return conversationBody(await this.conversations.create(owner, metadata, await this.#complete(owner, items)));
    });
  }

  find(id: string, call: Call): Promise<ConversationBody> {
    return this.#run(call, async (owner) => conversationBody(await this.conversations.find(owner, id)));
  }

  change(id: string, body: unknown, call: Call): Promise<ConversationBody> {
    return this.#run(call, async (owner) =>
      conversationBody(await this.conversations.change(owner, id, parseChangeConversation(body))),
    );
  }

  remove(id: string, call: Call) {
    return this.#run(call, async (owner) => {
      await this.conversations.remove(owner, id);
      return { id, object: 'conversation.deleted', deleted: true } as const;
    });
  }

  createItems(id: string, body: unknown, query: unknown, call: Call): Promise<ItemListBody> {
    return this.#run(call, async (owner) => {
      const include = parseInclude(query);
      const items = await this.#complete(owner, parseCreateItems(body));
      const kept = await this.conversations.append(owner, id, items);
      return listBody(this.told.list(kept, include), false);
    });
  }

  listItems(id: string, query: unknown, call: Call): Promise<ItemListBody> {
    return this.#run(call, async (owner) => {
      const asked = parseListItems(query);
      const { items, hasMore } = await this.conversations.items(owner, id, asked);
      return listBody(this.told.list(items, asked.include), hasMore);
    });
  }

  findItem(id: string, itemId: string, query: unknown, call: Call): Promise<ResponseItem> {
    return this.#run(call, async (owner) => {
      const include = parseInclude(query);
      return this.told.item(await this.conversations.item(owner, id, itemId), include);
    });
  }

  removeItem(id: string, itemId: string, call: Call): Promise<ConversationBody> {
    return this.#run(call, async (owner) => conversationBody(await this.conversations.removeItem(owner, id, itemId)));
  }

  async #complete(owner: string | undefined, sent: readonly InputItem[]): Promise<readonly ResponseItem[]> {
    const known = await this.responses.items(owner, referencesIn(sent));
    const byId = new Map(known.map((item) => [item.id, item]));
    return completeItems(sent, byId, 'items').map(({ item }) => item);
  }

  #run<T>(call: Call, work: (owner: string | undefined) => Promise<T>): Promise<T> {
    return this.calls.run('conversations', call, () => work(call.caller.keyId));
  }
}

function conversationBody({ id, created_at, metadata }: ConversationRow): ConversationBody {
  return { id, object: 'conversation', created_at: Math.floor(created_at.getTime() / 1_000), metadata };
}
