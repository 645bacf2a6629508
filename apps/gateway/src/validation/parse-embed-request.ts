import {
  EMBEDDINGS_PARAMETERS,
  type EmbeddingInput,
  type EmbeddingsRequestBody,
  embeddingsRequestSchema,
  InferenceError,
  type ModelDescription,
} from '@millrace/contracts';
import type { ValidEmbedRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/embeddings: unknown before, valid after. */
export function parseEmbedRequest(body: unknown, models: ModelCatalog): ValidEmbedRequest {
  const request = checkBody(body, EMBEDDINGS_PARAMETERS, embeddingsRequestSchema);
  const model = models.resolve(request.model, 'embedding');
  const dimensions = request.dimensions ?? undefined;
  if (dimensions !== undefined) checkDimensions(dimensions, model);
  const valid: Omit<ValidEmbedRequest, symbol> = {
    model,
    inputs: inputsOf(request.input),
    dimensions,
    encoding: request.encoding_format ?? 'float',
  };
  return valid as ValidEmbedRequest;
}

function checkDimensions(dimensions: number, { id, embeddingLength }: ModelDescription): void {
  if (embeddingLength === undefined || dimensions <= embeddingLength) return;
  throw new InferenceError(
    'invalid_request',
    `\`dimensions\` is ${dimensions}; the model \`${id}\` makes vectors of ${embeddingLength} numbers. Ask for at most as many.`,
    { param: 'dimensions' },
  );
}

/** The schema has seen that all entries of a list are of one kind. */
function inputsOf(input: EmbeddingsRequestBody['input']): EmbeddingInput[] {
  if (typeof input === 'string') return [{ kind: 'text', text: input }];
  if (typeof input[0] === 'number') return [{ kind: 'tokens', tokens: input as readonly number[] }];
  return (input as readonly (string | readonly number[])[]).map((one) =>
    typeof one === 'string' ? { kind: 'text', text: one } : { kind: 'tokens', tokens: one },
  );
}
