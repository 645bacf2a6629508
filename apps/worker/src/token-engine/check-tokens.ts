import { InferenceError } from '@millrace/contracts';

/** @throws InferenceError when a token is none of the model's; the engine would break on it, for everyone in the step. */
export function checkTokens(
  tokens: readonly number[],
  { vocabularySize }: { readonly vocabularySize: number },
  param: string,
): void {
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabularySize);
  if (wrong === undefined) return;
  throw new InferenceError(
    'invalid_request',
    `${wrong} is none of this model's tokens; its vocabulary has ${vocabularySize.toLocaleString('en-US')}, numbered from 0. Use the tokens of this model.`,
    { param },
  );
}
