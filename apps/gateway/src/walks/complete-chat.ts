import type { ChatChunk, ChatCompletion } from '@millrace/contracts';
import type { Dispatcher } from '../dispatch/dispatcher.js';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseChatRequest } from '../validation/parse-chat-request.js';
import type { Call, Endpoint, SequenceEvent, ValidAnswerRequest, ValidChatRequest } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
import type { CachedAnswers } from './cached-answers.js';
import { chatChunks, collectChat } from './chat-answer.js';
import type { Entered, Entrance } from './entrance.js';
import type { FindWorkers } from './find-workers.js';
import { LogprobsAllowance } from './logprobs-allowance.js';
import { modelsFor } from './models-for.js';
import { tellOverhead } from './overhead.js';

export type ChatAnswer =
  | { readonly kind: 'whole'; readonly body: ChatCompletion }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ChatChunk[]> };

/** POST /v1/chat/completions, from an untrusted body to the last token. Start reading here. */
export class CompleteChat {
  constructor(
    private readonly models: ModelCatalog,
    private readonly entrance: Entrance,
    private readonly cached: CachedAnswers,
    private readonly workers: FindWorkers,
    private readonly dispatcher: Dispatcher,
    private readonly requestLog: RequestLog,
  ) {}

  /** @param parse in place of OpenAI's words, another way to say the same. */
  async run(body: unknown, call: Call, parse = parseChatRequest): Promise<ChatAnswer> {
    const entered = await this.enter(call, (models) => parse(body, models));
    const { request, record } = entered;
    const events = this.generate(entered);
    const heading = openHeading('chatcmpl', record, request.serviceTier);
    // One path for both: a whole answer is a stream that we collect ourselves.
    if (request.stream) return { kind: 'stream', chunks: chatChunks(events, heading, request) };
    const answer = await collectChat(events, heading, request);
    tellOverhead(call, record);
    return { kind: 'whole', body: answer };
  }

  /**
   * A conversation in whoever's words, let in; `generate` answers it, and must be called, or it is disposed of.
   *
   * @param expected `answers: 0`: it is not answered now.
   */
  enter(
    call: Call,
    parse: (models: ModelCatalog) => ValidChatRequest | Promise<ValidChatRequest>,
    endpoint: Endpoint = 'chat',
    expected: { readonly answers?: 0 } = {},
  ): Promise<Entered<ValidChatRequest>> {
    const record = this.requestLog.open(endpoint, call);
    return this.entrance.enter(call, record, () => parse(modelsFor(call.caller, this.models)), expected);
  }

  /** From a valid request to its last token. complete-text.ts walks here too: the two differ only before and after. */
  async *generate(entered: Entered<ValidAnswerRequest>): AsyncGenerator<SequenceEvent> {
    using _leaving = entered; // Also reached when the client leaves: closing the stream returns this generator.
    const { request, record } = entered;
    try {
      const allowance = new LogprobsAllowance(request);
      // Answered before, or to somebody else just now; if not, run, and then kept.
      for await (const event of this.cached.answer(entered, (asking) => this.#run(asking))) {
        allowance.use(event);
        record.add(event);
        yield event;
      }
    } catch (error) {
      record.fail(error);
      throw error;
    }
  }

  /** A place, a worker that takes it, the answer. */
  #run(entered: Entered<ValidAnswerRequest>): AsyncIterable<SequenceEvent> {
    const { request, call, record, deadline } = entered;
    return this.dispatcher.answer(request, this.workers.find(entered), call, deadline, record);
  }
}
