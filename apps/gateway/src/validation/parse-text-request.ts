import { type Prompt, TEXT_PARAMETERS, type TextRequestBody, textRequestSchema } from '@millrace/contracts';
import type { ValidRequest, ValidTextRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import { generationOf } from './generation.js';
import type { ModelCatalog } from './model-catalog.js';

/** The body of POST /v1/completions: unknown before, valid after. */
export function parseTextRequest(body: unknown, models: ModelCatalog): ValidTextRequest {
  const request = checkBody(body, TEXT_PARAMETERS, textRequestSchema);
  const valid: ValidRequest = {
    ...generationOf(request, request.max_tokens),
    model: models.resolve(request.model, 'completion'),
    prompt: promptOf(request.prompt),
  };
  return valid as ValidTextRequest;
}

function promptOf(prompt: TextRequestBody['prompt']): Prompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  const [first] = prompt;
  return typeof first === 'string'
    ? { kind: 'text', text: first }
    : { kind: 'tokens', tokens: prompt as readonly number[] };
}
