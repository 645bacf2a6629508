import type { ResponseItem } from '@millrace/contracts';
import { withFound } from './kept-searches.js';
import {
  type HeldConversation,
  type KeptResponse,
  noConversation,
  noPreviousResponse,
  type ResponseStore,
} from './response-store.js';

/** Keeps responses as long as a test takes; `trouble`: nothing can be kept. */
export class MemoryResponses implements ResponseStore {
  readonly kept: (KeptResponse & { readonly owner: string | undefined; readonly whileHeld: boolean })[] = [];
  readonly conversations = new Map<string, ResponseItem[]>();
  /** Conversations that a response is being answered on. */
  readonly held = new Set<string>();
  trouble: Error | undefined;

  async history(owner: string | undefined, responseId: string): Promise<readonly ResponseItem[]> {
    const found = this.kept.find((one) => one.owner === owner && one.response.id === responseId);
    if (found === undefined) throw noPreviousResponse();
    const { response, input } = found;
    const before = response.previous_response_id;
    return [...(before === null ? [] : await this.history(owner, before)), ...input, ...response.output];
  }

  async conversation(_owner: string | undefined, conversationId: string): Promise<readonly ResponseItem[]> {
    const items = this.conversations.get(conversationId);
    if (items === undefined) throw noConversation();
    return items;
  }

  async hold(owner: string | undefined, conversationId: string): Promise<HeldConversation> {
    const items = await this.conversation(owner, conversationId);
    this.held.add(conversationId);
    const letGo = async () => {
      this.held.delete(conversationId);
    };
    return { items, [Symbol.asyncDispose]: letGo };
  }

  async items(owner: string | undefined, ids: readonly string[]): Promise<readonly ResponseItem[]> {
    return this.kept
      .filter((one) => one.owner === owner)
      .flatMap(({ response, input }) => [...input, ...response.output])
      .filter(({ id }) => ids.includes(id));
  }

  async keep(owner: string | undefined, { response: told, input, found }: KeptResponse): Promise<void> {
    if (this.trouble !== undefined) throw this.trouble;
    const response = { ...told, output: withFound(told.output, found) };
    const { conversation } = response;
    this.kept.push({ response, input, owner, whileHeld: conversation !== null && this.held.has(conversation.id) });
    if (conversation === null) return;
    this.conversations.get(conversation.id)?.push(...input, ...response.output);
  }
}
