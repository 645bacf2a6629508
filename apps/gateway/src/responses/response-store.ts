import { InferenceError, type ResponseBody, type ResponseItem } from '@millrace/contracts';

/** What is kept of responses, so that others may go on from them. Owner: a key's id; undefined: there are no keys. */
export interface ResponseStore {
  /**
   * Items of the response and of all those it went on from, oldest first, input before output.
   *
   * @throws InferenceError `previous_response_not_found`.
   */
  history(owner: string | undefined, responseId: string): Promise<readonly ResponseItem[]>;
  /** Items of a conversation, oldest first. @throws InferenceError `conversation_not_found`. */
  conversation(owner: string | undefined, conversationId: string): Promise<readonly ResponseItem[]>;
  /**
   * The conversation, for the response of this id alone until that is kept, or it is disposed of.
   *
   * @throws InferenceError `conversation_not_found`, `conversation_locked`.
   */
  hold(owner: string | undefined, conversationId: string, responseId: string): Promise<HeldConversation>;
  /** By id, for `item_reference`. Missing ones are left out. */
  items(owner: string | undefined, ids: readonly string[]): Promise<readonly ResponseItem[]>;
  /**
   * A response that has ended. Its input and output are appended to its conversation, if it has one, which is let go of; of one that failed
   * there is nothing to append.
   *
   * @param signal aborts when nobody waits for it any more: then nothing of it is kept, or it is about to be, and that is waited for.
   * @throws InferenceError `response_too_large` where it is larger than may be kept.
   */
  keep(owner: string | undefined, kept: KeptResponse, signal?: AbortSignal): Promise<void>;
}

/** A conversation that a response is being answered on; whoever disposes of it lets others have it. */
export interface HeldConversation extends AsyncDisposable {
  /** Oldest first. */
  readonly items: readonly ResponseItem[];
}

export interface KeptResponse {
  readonly response: ResponseBody;
  readonly input: readonly ResponseItem[];
}

/** Where nothing can be kept: no answer waits for it, and each says that nothing goes on from it. */
export const NOTHING_KEPT: ResponseStore = {
  history: async () => {
    throw noPreviousResponse();
  },
  conversation: async () => {
    throw noConversation();
  },
  hold: async () => {
    throw noConversation();
  },
  items: async () => [],
  keep: async () => {
    throw new Error('Nothing is kept here.');
  },
};

export function noPreviousResponse(): InferenceError {
  return new InferenceError(
    'previous_response_not_found',
    'No response of that id is kept for you: it never was, was deleted or has expired. Send the conversation so far as `input`.',
    { param: 'previous_response_id' },
  );
}

export function noConversation(): InferenceError {
  return new InferenceError(
    'conversation_not_found',
    'No conversation of that id is kept for you: there never was one, or it was deleted or has expired. Make one with POST /v1/conversations.',
    { param: 'conversation' },
  );
}
