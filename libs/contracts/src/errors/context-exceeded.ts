import { InferenceError } from './inference-error.js';

/** Anthropic's words, which LangChain in Python looks for as well. */
export const PROMPT_TOO_LONG = 'prompt is too long';

/**
 * What is longer than a model reads. LangChain, LiteLLM and agents know it by OpenAI's words, each by others of them, and
 * then shorten the conversation: what stands here in so many words stays as it is.
 *
 * @param has What has how many: `The prompt has 9,214 tokens`.
 * @param included What else has its place in the context, or limits it.
 */
export function contextExceeded(
  contextLength: number,
  has: string,
  { param, included = '' }: { readonly param?: string; readonly included?: string } = {},
): InferenceError {
  return new InferenceError(
    'context_length_exceeded',
    `This model's maximum context length is ${contextLength.toLocaleString('en')} tokens${included}. ${has}, which exceeds the context window (${PROMPT_TOO_LONG}). Shorten it, or choose a model with a longer context.`,
    { param },
  );
}
