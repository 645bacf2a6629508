import {
  InferenceError,
  type InputTokensRequestBody,
  type ResponseItem,
  type ResponseRequestBody,
} from '@millrace/contracts';
import { withResults } from '../responses/kept-searches.js';
import type { ResponseStore } from '../responses/response-store.js';
import { isSealed, type ThoughtSeal } from '../responses/thought-seal.js';
import { goneOnFrom } from '../validation/parse-response-request.js';
import { completeItems, type PlacedItem, referencesIn } from '../validation/response-items.js';
import { inWords } from './stored-call.js';

export interface ResponseInput extends AsyncDisposable {
  /** What it goes on from, oldest first, and behind it its own; as models read it. */
  readonly all: readonly PlacedItem[];
  /** What it was sent with, complete; as it is kept. */
  readonly own: readonly ResponseItem[];
}

type Asked = ResponseRequestBody | InputTokensRequestBody;

/** The items that a response answers: those that it was sent with, and those that are kept. */
export class ResponseInputs {
  constructor(
    private readonly store: ResponseStore,
    private readonly thoughts: Pick<ThoughtSeal, 'open'>,
  ) {}

  /**
   * Ownership: whoever gets it disposes of it once the response is over: until then nobody else is answered on the same conversation.
   *
   * @param responseId undefined: it is not answered yet, and lets others be.
   * @throws InferenceError where what it goes on from is not there, or an item can't be read.
   */
  async hold(asked: Asked, owner: string | undefined, responseId: string | undefined): Promise<ResponseInput> {
    const { conversationId } = goneOnFrom(asked);
    if (conversationId === undefined || responseId === undefined)
      return { ...(await this.find(asked, owner)), [Symbol.asyncDispose]: async () => {} };
    return this.#inWords(async () => {
      const held = await this.store.hold(owner, conversationId, responseId);
      // What can't be let go of is let go of in time, by itself: no answer is lost for it.
      const letGo = () => held[Symbol.asyncDispose]().then(undefined, () => {});
      try {
        return { ...(await this.#with(held.items, asked, owner)), [Symbol.asyncDispose]: letGo };
      } catch (error) {
        await letGo();
        throw error;
      }
    });
  }

  /** The same for whoever only wants to look. */
  find(asked: Asked, owner: string | undefined): Promise<Omit<ResponseInput, keyof AsyncDisposable>> {
    return this.#inWords(async () => this.#with(await this.#before(asked, owner), asked, owner));
  }

  async #before(asked: Asked, owner: string | undefined): Promise<readonly ResponseItem[]> {
    const { previousResponseId, conversationId } = goneOnFrom(asked);
    if (previousResponseId !== undefined) return this.store.history(owner, previousResponseId);
    return conversationId === undefined ? [] : this.store.conversation(owner, conversationId);
  }

  async #with(before: readonly ResponseItem[], { input }: Asked, owner: string | undefined) {
    const ids = referencesIn(input);
    const found = ids.length === 0 ? [] : await this.store.items(owner, ids);
    const own = completeItems(input, new Map(found.map((item) => [item.id, item])));
    const all = [...before.map((item) => ({ item })), ...own].map((placed) => this.#asRead(placed));
    return { all, own: own.map(({ item }) => item) };
  }

  #asRead({ item, place }: PlacedItem): PlacedItem {
    if (item.type !== 'reasoning' || item.content.length > 0 || item.encrypted_content == null)
      return { item: withResults(item), place };
    const text = this.thoughts.open(item.encrypted_content);
    if (text !== undefined) return { item: { ...item, content: [{ type: 'reasoning_text', text }] }, place };
    // What another server made is for that alone; what is kept can be mended by nobody any more.
    if (place === undefined || item.summary.length > 0 || !isSealed(item.encrypted_content)) return { item, place };
    throw unreadableThought(place);
  }

  async #inWords<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw inWords(error);
    }
  }
}

function unreadableThought(place: string): InferenceError {
  const param = `${place}.encrypted_content`;
  return new InferenceError(
    'invalid_request',
    `\`${param}\` can not be read: it was cut or altered, or comes from an installation with another keySecret. Send it as it came, or send the item's \`content\` or \`summary\`, or leave the item out.`,
    { param },
  );
}
