import { InferenceError, RERANK_PARAMETERS, rerankRequestSchema } from '@millrace/contracts';
import type { ValidRerankRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/rerank: unknown before, valid after. */
export function parseRerankRequest(body: unknown, models: ModelCatalog): ValidRerankRequest {
  const request = checkBody(body, RERANK_PARAMETERS, rerankRequestSchema);
  const documents = request.documents.map((document) => (typeof document === 'string' ? document : document.text));
  refuseToCut(request.max_tokens_per_doc, documents);
  const valid: Omit<ValidRerankRequest, symbol> = {
    model: models.resolve(request.model, 'rerank'),
    query: request.query,
    documents,
    topN: Math.min(documents.length, request.top_n ?? documents.length),
    returnDocuments: request.return_documents ?? false,
  };
  return valid as ValidRerankRequest;
}

/** No token is less than a byte: of shorter documents none would be cut. */
function refuseToCut(tokensMax: number | null | undefined, documents: readonly string[]): void {
  if (tokensMax == null) return;
  const index = documents.findIndex((document) => Buffer.byteLength(document) > tokensMax);
  if (index === -1) return;
  const [bytes, limit] = [Buffer.byteLength(documents[index]!), tokensMax].map((number) => number.toLocaleString('en'));
  throw new InferenceError(
    'unsupported_parameter',
    `\`max_tokens_per_doc\` is ${limit}, but \`documents[${index}]\` has ${bytes} bytes and may have more tokens; documents are read whole here. Leave max_tokens_per_doc out, or send shorter documents.`,
    { param: 'max_tokens_per_doc' },
  );
}
