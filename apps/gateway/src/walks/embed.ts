import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseEmbedRequest } from '../validation/parse-embed-request.js';
import type { Call } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { embeddingsText } from './embeddings-text.js';
import { modelsFor } from './models-for.js';

/** POST /v1/embeddings. */
export class Embed {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
  ) {}

  /** The answer as JSON. */
  async run(body: unknown, call: Call): Promise<string> {
    const record = this.requestLog.open('embeddings', call);
    const { request, result } = await this.work.run(call, record, {
      parse: () => parseEmbedRequest(body, modelsFor(call.caller, this.models)),
      ask:
        ({ inputs, dimensions }) =>
        (worker, heading, signal) =>
          worker.embed({ ...heading, inputs, dimensions }, signal),
      promptTokensOf: ({ promptTokens }) => promptTokens,
    });
    return embeddingsText(request, result);
  }
}
