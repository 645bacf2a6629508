import { type ResponseEvent, toOpenAiResponse } from '@millrace/contracts';

/** What a stream tells in place of what did not come. OpenAI's clients throw at it. */
export function errorEvent(thrown: unknown, sequence_number: number): Extract<ResponseEvent, { type: 'error' }> {
  const { error } = toOpenAiResponse(thrown).body;
  const { code, message, param } = error;
  return { type: 'error', sequence_number, code, message, param, error };
}
