import { RERANK_PARAMETERS, rerankRequestSchema } from '@millrace/contracts';
import type { ValidRerankRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/rerank: unknown before, valid after. */
export function parseRerankRequest(body: unknown, models: ModelCatalog): ValidRerankRequest {
  const request = checkBody(body, RERANK_PARAMETERS, rerankRequestSchema);
  const documents = request.documents.map((document) => (typeof document === 'string' ? document : document.text));
  const valid: Omit<ValidRerankRequest, symbol> = {
    model: models.resolve(request.model, 'rerank'),
    query: request.query,
    documents,
    topN: Math.min(documents.length, request.top_n ?? documents.length),
    returnDocuments: request.return_documents ?? false,
  };
  return valid as ValidRerankRequest;
}
