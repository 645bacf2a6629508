import type { TextCompletion } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseTextRequest } from '../validation/parse-text-request.js';
import type { Call } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
import type { CompleteChat } from './complete-chat.js';
import { collectText, textChunks } from './text-answer.js';

export type TextAnswer =
  | { readonly kind: 'whole'; readonly body: TextCompletion }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly TextCompletion[]> };

/** POST /v1/completions: read and written in its own way, answered as a chat is. */
export class CompleteText {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly chat: Pick<CompleteChat, 'generate'>,
  ) {}

  async run(body: unknown, call: Call): Promise<TextAnswer> {
    const record = this.requestLog.open('completion', call);
    const request = record.closeIfThrown(() => parseTextRequest(body, this.models));
    const events = this.chat.generate(request, call, record);
    const heading = openHeading('cmpl', request.model);
    return request.stream
      ? { kind: 'stream', chunks: textChunks(events, heading, request) }
      : { kind: 'whole', body: await collectText(events, heading, request) };
  }
}
