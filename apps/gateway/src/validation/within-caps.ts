import { InferenceError, type ModelCaps } from '@millrace/contracts';

/** What a request asks of a model, and by which parameter. */
export interface CappedAsk {
  readonly maxTokens: { readonly param: string; readonly value: number } | undefined;
  /** The most that it asks for to one prompt. */
  readonly answers: { readonly param: string; readonly value: number };
}

/** Why a model may not be asked that, by its entry in the models file; undefined: it may. */
export function overCaps(
  model: string,
  caps: ModelCaps,
  { maxTokens, answers }: CappedAsk,
): InferenceError | undefined {
  if (caps.maxTokens !== undefined && maxTokens !== undefined && maxTokens.value > caps.maxTokens) {
    return over(maxTokens, `answers of the model \`${model}\` may have ${caps.maxTokens} tokens here. Ask for fewer`);
  }
  if (caps.n !== undefined && answers.value > caps.n) {
    return over(answers, `of the model \`${model}\` ${caps.n} may be asked for here. Ask for fewer`);
  }
  return undefined;
}

/** The same of the size of its body. */
export function bodyOverCaps(model: string, caps: ModelCaps, bodyBytes: number): InferenceError | undefined {
  if (caps.promptBytes === undefined || bodyBytes <= caps.promptBytes) return undefined;
  return new InferenceError(
    'invalid_request',
    `The body has ${inEnglish(bodyBytes)} bytes; for the model \`${model}\` ${inEnglish(caps.promptBytes)} are allowed here. Shorten the prompt, or choose another model.`,
  );
}

function over({ param, value }: { readonly param: string; readonly value: number }, limit: string): InferenceError {
  return new InferenceError('invalid_request', `\`${param}\` is ${value}; ${limit}, or choose another model.`, {
    param,
  });
}

function inEnglish(number: number): string {
  return number.toLocaleString('en');
}
