import type { ChatChunk, ChatCompletion } from '@millrace/contracts';
import type { Admission } from '../admission/admission.js';
import type { Dispatcher } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { OpenRecord, RequestLog } from '../request-log/request-log.js';
import { chooseWorkers } from '../routing/choose-workers.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseChatRequest } from '../validation/parse-chat-request.js';
import type { Call, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
import { chatChunks, collectChat } from './chat-answer.js';
import { startDeadline } from './deadline.js';
import { LogprobsAllowance } from './logprobs-allowance.js';

export type ChatAnswer =
  | { readonly kind: 'whole'; readonly body: ChatCompletion }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ChatChunk[]> };

/** POST /v1/chat/completions, from an untrusted body to the last token. Start reading here. */
export class CompleteChat {
  constructor(
    private readonly models: ModelCatalog,
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly dispatcher: Dispatcher,
    private readonly requestLog: RequestLog,
    private readonly limits: { readonly requestTimeoutMs: number },
  ) {}

  async run(body: unknown, call: Call): Promise<ChatAnswer> {
    const record = this.requestLog.open('chat', call);
    const request = record.closeIfThrown(() => parseChatRequest(body, this.models));
    const events = this.generate(request, call, record);
    const heading = openHeading('chatcmpl', request.model);
    // One path for both: a whole answer is a stream that we collect ourselves.
    return request.stream
      ? { kind: 'stream', chunks: chatChunks(events, heading, request) }
      : { kind: 'whole', body: await collectChat(events, heading, request) };
  }

  /** From a valid request to its last token. complete-text.ts walks here too: the two differ only before and after. */
  async *generate(request: ValidAnswerRequest, call: Call, record: OpenRecord): AsyncGenerator<SequenceEvent> {
    try {
      record.concerns(request);
      using deadline = startDeadline(call, this.limits.requestTimeoutMs);
      using _permit = await this.admission.admit(deadline.signal);
      record.admitted();

      const allowance = new LogprobsAllowance(request);
      const workers = chooseWorkers(request.model.id, this.directory.workers);
      for await (const event of this.dispatcher.answer(request, workers, call, deadline, record)) {
        allowance.use(event);
        record.add(event);
        yield event;
      }
    } catch (error) {
      record.fail(error);
      throw error;
    } finally {
      record.close(); // Also reached when the client leaves: closing the stream returns this generator.
    }
  }
}
