import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseEmbedRequest } from '../validation/parse-embed-request.js';
import type { Call } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { embeddingsText } from './embeddings-text.js';

/** POST /v1/embeddings. */
export class Embed {
  constructor(
    private readonly models: ModelCatalog,
    private readonly work: DoWork,
  ) {}

  /** The answer as JSON. */
  async run(body: unknown, call: Call): Promise<string> {
    const { request, result } = await this.work.run(
      {
        endpoint: 'embeddings',
        parse: () => parseEmbedRequest(body, this.models),
        ask:
          ({ inputs, dimensions }) =>
          (worker, heading, signal) =>
            worker.embed({ ...heading, inputs, dimensions }, signal),
        promptTokens: ({ promptTokens }) => promptTokens,
      },
      call,
    );
    return embeddingsText(request, result);
  }
}
