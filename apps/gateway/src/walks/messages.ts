import type { MessageAnswerBody, MessageEvent, MessageTokensBody } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import { inAnthropicWords } from '../validation/anthropic-words.js';
import { parseCountTokensRequest, parseMessagesRequest } from '../validation/parse-messages-request.js';
import type { Call } from '../vocabulary.js';
import type { CompleteChat } from './complete-chat.js';
import { collectMessage, messageEvents } from './message-events.js';
import { tellOverhead } from './overhead.js';
import type { Tokenize } from './tokenize.js';

export type MessagesAnswer =
  | { readonly kind: 'whole'; readonly body: MessageAnswerBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly MessageEvent[]> };

/** POST /v1/messages, Anthropic's API: the way of /v1/chat/completions, with other words at both of its ends. */
export class Messages {
  constructor(
    private readonly completeChat: Pick<CompleteChat, 'enter' | 'generate'>,
    private readonly tokenize: Pick<Tokenize, 'count'>,
  ) {}

  async run(body: unknown, call: Call): Promise<MessagesAnswer> {
    const entered = await this.completeChat.enter(
      call,
      (models) => inTheirWords(() => parseMessagesRequest(body, models)),
      'messages',
    );
    const { request, record } = entered;
    const heading = {
      id: `msg_${randomHex(12)}`,
      get answeredBy() {
        return record.answeredBy;
      },
    };
    const events = inTheirStream(messageEvents(this.completeChat.generate(entered), heading, request));
    if (request.stream) return { kind: 'stream', chunks: events };
    const message = await collectMessage(events);
    tellOverhead(call, record);
    return { kind: 'whole', body: message };
  }

  /** POST /v1/messages/count_tokens. */
  async countTokens(body: unknown, call: Call): Promise<MessageTokensBody> {
    try {
      const count = await this.tokenize.count(call, (models) =>
        inTheirWords(() => parseCountTokensRequest(body, models)),
      );
      return { input_tokens: count };
    } catch (error) {
      throw inAnthropicWords(error);
    }
  }
}

function inTheirWords<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw inAnthropicWords(error);
  }
}

async function* inTheirStream<T>(events: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* events;
  } catch (error) {
    throw inAnthropicWords(error);
  }
}
