import type { InputTokensRequestBody, ResponseItem, ResponseRequestBody } from '@millrace/contracts';
import type { ResponseStore } from '../responses/response-store.js';
import { goneOnFrom } from '../validation/parse-response-request.js';
import { completeItems, type PlacedItem, referencesIn } from '../validation/response-items.js';
import { inWords } from './stored-call.js';

export interface ResponseInput {
  /** What it goes on from, oldest first, and behind it its own. */
  readonly all: readonly PlacedItem[];
  /** What it was sent with, complete. */
  readonly own: readonly ResponseItem[];
}

/** The items that a response answers: those that it was sent with, and those that are kept. */
export class ResponseInputs {
  constructor(private readonly store: ResponseStore) {}

  /** @throws InferenceError where what it goes on from is not there, or an item can't be read. */
  async find(asked: ResponseRequestBody | InputTokensRequestBody, owner: string | undefined): Promise<ResponseInput> {
    try {
      const [before, known] = await Promise.all([this.#before(asked, owner), this.#referred(asked, owner)]);
      const own = completeItems(asked.input, known);
      return { all: [...before.map((item) => ({ item })), ...own], own: own.map(({ item }) => item) };
    } catch (error) {
      throw inWords(error);
    }
  }

  async #before(
    asked: ResponseRequestBody | InputTokensRequestBody,
    owner: string | undefined,
  ): Promise<readonly ResponseItem[]> {
    const { previousResponseId, conversationId } = goneOnFrom(asked);
    if (previousResponseId !== undefined) return this.store.history(owner, previousResponseId);
    return conversationId === undefined ? [] : this.store.conversation(owner, conversationId);
  }

  async #referred(
    { input }: Pick<ResponseRequestBody, 'input'>,
    owner: string | undefined,
  ): Promise<ReadonlyMap<string, ResponseItem>> {
    const ids = referencesIn(input);
    const found = ids.length === 0 ? [] : await this.store.items(owner, ids);
    return new Map(found.map((item) => [item.id, item]));
  }
}
