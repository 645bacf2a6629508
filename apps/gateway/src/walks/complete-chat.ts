import type { ChatChunk, ChatCompletion } from '@millrace/contracts';
import type { Dispatcher } from '../dispatch/dispatcher.js';
import type { RequestLog } from '../request-log/request-log.js';
import type { StoredChats } from '../stored-chats/stored-chats.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseChatRequest } from '../validation/parse-chat-request.js';
import type { Call, Endpoint, Keepsake, SequenceEvent, ValidAnswerRequest, ValidChatRequest } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
import type { CachedAnswers } from './cached-answers.js';
import { chatChunks, collectChat } from './chat-answer.js';
import type { Entered, Entrance } from './entrance.js';
import type { FindWorkers } from './find-workers.js';
import { type Keeper, keptStream } from './kept-stream.js';
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
    private readonly stored: Pick<StoredChats, 'newId' | 'bytesMax' | 'keep' | 'outgrown'>,
  ) {}

  /** @param parse in place of OpenAI's words, another way to say the same. */
  async run(body: unknown, call: Call, parse = parseChatRequest): Promise<ChatAnswer> {
    const entered = await this.enter(call, (models) => parse(body, models));
    const { request, record } = entered;
    const events = this.generate(entered);
    // LiteLLM, for one, fails where it is not told.
    const { stream, serviceTier = 'default', keep } = request;
    const heading = openHeading('chatcmpl', record, serviceTier, keep && this.stored.newId());
    // One path for both: a whole answer is a stream that we collect ourselves.
    if (stream) {
      const chunks = chatChunks(events, heading, request);
      return { kind: 'stream', chunks: keep ? keptStream(chunks, this.#keeper(call, keep)) : chunks };
    }
    const answer = await collectChat(events, heading, request);
    if (keep) await this.#keeper(call, keep).keep(answer);
    tellOverhead(call, record);
    return { kind: 'whole', body: answer };
  }

  #keeper({ caller }: Call, keepsake: Keepsake): Keeper {
    const { stored } = this;
    return {
      bytesMax: stored.bytesMax,
      keep: (completion) => stored.keep(caller.keyId, keepsake, completion),
      outgrown: (id) => stored.outgrown(id),
    };
  }

  /**
   * A conversation in whoever's words, let in; `generate` answers it, and must be called, or it is disposed of.
   *
   * @param expected `answers: 0`: it is not answered now.
   */
  enter<Request extends ValidChatRequest>(
    call: Call,
    parse: (models: ModelCatalog) => Request | Promise<Request>,
    endpoint: Endpoint = 'chat',
    expected: { readonly answers?: 0 } = {},
  ): Promise<Entered<Request>> {
    const record = this.requestLog.open(endpoint, call);
    return this.entrance.enter(call, record, () => parse(modelsFor(call.caller, this.models)), expected);
  }

  /**
   * From a valid request to its last token. complete-text.ts walks here too: the two differ only before and after.
   *
   * @param atEnd called once everything was read, before the record closes: where it throws, that is how the request has ended.
   */
  async *generate(entered: Entered<ValidAnswerRequest>, atEnd = () => {}): AsyncGenerator<SequenceEvent> {
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
      atEnd();
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
