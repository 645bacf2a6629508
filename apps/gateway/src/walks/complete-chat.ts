import type { ChatChunk, ChatCompletion } from '@millrace/contracts';
import type { Dispatcher } from '../dispatch/dispatcher.js';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseChatRequest } from '../validation/parse-chat-request.js';
import type { Call, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
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
    private readonly workers: FindWorkers,
    private readonly dispatcher: Dispatcher,
    private readonly requestLog: RequestLog,
  ) {}

  /** @param parse in place of OpenAI's words, another way to say the same. */
  async run(body: unknown, call: Call, parse = parseChatRequest): Promise<ChatAnswer> {
    const record = this.requestLog.open('chat', call);
    const entered = await this.entrance.enter(call, record, () =>
      parse(body, modelsFor(call.caller, this.models)),
    );
    const { request } = entered;
    const events = this.generate(entered);
    const heading = openHeading('chatcmpl', record);
    // One path for both: a whole answer is a stream that we collect ourselves.
    if (request.stream) return { kind: 'stream', chunks: chatChunks(events, heading, request) };
    const answer = await collectChat(events, heading, request);
    tellOverhead(call, record);
    return { kind: 'whole', body: answer };
  }

  /** From a valid request to its last token. complete-text.ts walks here too: the two differ only before and after. */
  async *generate(entered: Entered<ValidAnswerRequest>): AsyncGenerator<SequenceEvent> {
    using _leaving = entered; // Also reached when the client leaves: closing the stream returns this generator.
    const { request, call, record, deadline } = entered;
    try {
      const allowance = new LogprobsAllowance(request);
      const candidates = this.workers.find(entered);
      for await (const event of this.dispatcher.answer(request, candidates, call, deadline, record)) {
        allowance.use(event);
        record.add(event);
        yield event;
      }
    } catch (error) {
      record.fail(error);
      throw error;
    }
  }
}
