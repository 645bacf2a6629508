import {
  InferenceError,
  type Prompt,
  SEQUENCES_MAX,
  TEXT_PARAMETERS,
  type TextRequestBody,
  textRequestSchema,
} from '@millrace/contracts';
import type { ValidRequest, ValidTextRequest } from '../vocabulary.js';
import { cappedRoute } from './capped-route.js';
import { checkBody } from './check-body.js';
import { conversationChance } from './conversation-chance.js';
import { generationOf } from './generation.js';
import type { ModelCatalog } from './model-catalog.js';
import type { CappedAsk } from './within-caps.js';

/** The body of POST /v1/completions: unknown before, valid after. */
export function parseTextRequest(body: unknown, models: ModelCatalog): ValidTextRequest {
  const request = checkBody(body, TEXT_PARAMETERS, textRequestSchema);
  checkMaxTokens(request);
  const prompts = promptsOf(request);
  const route = cappedRoute(request.model, 'completion', conversationChance(prompts[0]!), askOf(request), models);
  const valid: ValidRequest = {
    ...generationOf(request, route),
    prompts,
    bestOf: bestOf(request, prompts.length),
    maxTokens: request.max_tokens ?? undefined,
    logprobs: request.logprobs ?? undefined,
    echo: request.echo ?? undefined,
  };
  return valid as ValidTextRequest;
}

function askOf({ max_tokens, n, best_of }: TextRequestBody): CappedAsk {
  const answers = best_of == null ? { param: 'n', value: n ?? 1 } : { param: 'best_of', value: best_of };
  return { maxTokens: max_tokens == null ? undefined : { param: 'max_tokens', value: max_tokens }, answers };
}

function promptsOf({ prompt, suffix, echo }: TextRequestBody): readonly Prompt[] {
  const prompts = (isOnePrompt(prompt) ? [prompt] : prompt) as readonly (string | readonly number[])[];
  // An empty suffix is what many clients send for none.
  const wanted = suffix === null || suffix === '' ? undefined : suffix;
  if (wanted !== undefined) checkSuffix(prompts, echo);
  return prompts.map((one) =>
    typeof one === 'string' ? { kind: 'text', text: one, suffix: wanted } : { kind: 'tokens', tokens: one },
  );
}

function isOnePrompt(prompt: TextRequestBody['prompt']): boolean {
  return typeof prompt === 'string' || typeof prompt[0] === 'number';
}

function checkSuffix(prompts: readonly (string | readonly number[])[], echo: TextRequestBody['echo']): void {
  if (prompts.some((prompt) => typeof prompt !== 'string')) {
    throw invalid(
      'suffix',
      '`suffix` is given for a `prompt` of token ids, which are taken as they stand. Send the prompt as text, or leave it out.',
    );
  }
  if (!echo) return;
  // The model reads the suffix before the answer, so there is no text of which prompt and answer are the beginning.
  throw invalid(
    'suffix',
    '`suffix` is given together with `echo`. Leave one of them out, and join the texts yourself.',
  );
}

function checkMaxTokens({ max_tokens, echo }: TextRequestBody): void {
  if (max_tokens !== 0 || echo) return;
  throw invalid(
    'max_tokens',
    '`max_tokens` is 0; it must be at least 1. Only together with `echo` may there be no answer: that scores the prompt.',
  );
}

function bestOf({ best_of, n, stream }: TextRequestBody, prompts: number): number {
  const answers = n ?? 1;
  const candidates = best_of ?? answers;
  if (candidates < answers) {
    throw invalid(
      'best_of',
      `\`best_of\` is ${candidates} and \`n\` ${answers}; there must be at least as many candidates as answers. Raise best_of, or lower n.`,
    );
  }
  if (stream && candidates > answers) {
    throw invalid(
      'best_of',
      `\`best_of\` is ${candidates}, more than \`n\`: which answers are the best is known only at their end, so they cannot be streamed. Leave out stream or best_of.`,
    );
  }
  const sequences = prompts * candidates;
  if (sequences <= SEQUENCES_MAX) return candidates;
  throw invalid(
    'prompt',
    `\`prompt\` holds ${prompts} prompts with ${candidates} answers to each, ${sequences} together; ${SEQUENCES_MAX} are allowed. Send them in several requests.`,
  );
}

function invalid(param: string, message: string): InferenceError {
  return new InferenceError('invalid_request', message, { param });
}
