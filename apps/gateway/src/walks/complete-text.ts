import type { TextCompletion } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseTextRequest } from '../validation/parse-text-request.js';
import type { Call } from '../vocabulary.js';
import { openHeading } from './answer-heading.js';
import type { CompleteChat } from './complete-chat.js';
import type { Entrance } from './entrance.js';
import { modelsFor } from './models-for.js';
import { tellOverhead } from './overhead.js';
import { collectText, textChunks } from './text-answer.js';

export type TextAnswer =
  | { readonly kind: 'whole'; readonly body: TextCompletion }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly TextCompletion[]> };

/** POST /v1/completions: read and written in its own way, answered as a chat is. */
export class CompleteText {
  constructor(
    private readonly models: ModelCatalog,
    private readonly entrance: Entrance,
    private readonly requestLog: RequestLog,
    private readonly chat: Pick<CompleteChat, 'generate'>,
  ) {}

  async run(body: unknown, call: Call): Promise<TextAnswer> {
    const record = this.requestLog.open('completion', call);
    const entered = await this.entrance.enter(call, record, () =>
      parseTextRequest(body, modelsFor(call.caller, this.models)),
    );
    const { request } = entered;
    const events = this.chat.generate(entered);
    const heading = openHeading('cmpl', record);
    if (request.stream) return { kind: 'stream', chunks: textChunks(events, heading, request) };
    const answer = await collectText(events, heading, request);
    tellOverhead(call, record);
    return { kind: 'whole', body: answer };
  }
}
