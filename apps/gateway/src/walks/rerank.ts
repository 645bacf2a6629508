import type { Ranking, RerankBody } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseRerankRequest } from '../validation/parse-rerank-request.js';
import type { Call, ValidRerankRequest } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { asWritten } from './embeddings-text.js';
import { modelsFor } from './models-for.js';

/** As Cohere counts. */
const DOCUMENTS_PER_UNIT = 100;

/** POST /v1/rerank. */
export class Rerank {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
  ) {}

  async run(body: unknown, call: Call): Promise<RerankBody> {
    const record = this.requestLog.open('rerank', call);
    const { request, result } = await this.work.run(call, record, {
      parse: () => parseRerankRequest(body, modelsFor(call.caller, this.models)),
      ask:
        ({ query, documents }) =>
        (worker, heading, signal) =>
          worker.rerank({ ...heading, query, documents }, signal),
      promptTokensOf: ({ promptTokens }) => promptTokens,
    });
    return rerankBody(request, result);
  }
}

function rerankBody(request: ValidRerankRequest, { scores, promptTokens }: Ranking): RerankBody {
  const { model, documents, topN, returnDocuments } = request;
  const results = scores
    .map((score, index) => ({
      index,
      relevance_score: asWritten(score),
      ...(returnDocuments && { document: { text: documents[index]! } }),
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score) // A stable sort: of equals, the earlier one comes first.
    .slice(0, topN);
  return {
    id: `rerank-${randomHex(12)}`,
    model: model.id,
    object: 'list',
    results,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    meta: {
      api_version: { version: '2' },
      billed_units: { search_units: Math.ceil(documents.length / DOCUMENTS_PER_UNIT) },
      tokens: { input_tokens: promptTokens },
    },
  };
}
