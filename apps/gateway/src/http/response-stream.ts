import { type ResponseEvent, toOpenAiResponse } from '@millrace/contracts';
import type { StreamFormat } from './server-sent-events.js';

/** As `/v1/responses` has it: every event has its type as its name, and the last of them says how the response ended. */
export const RESPONSE_EVENTS: StreamFormat = {
  event: (event) => `event: ${(event as ResponseEvent).type}\ndata: ${JSON.stringify(event)}\n\n`,
  end: '',
  // Of what failed before its first event, when the status was spent already.
  failure: (thrown) => {
    const { error } = toOpenAiResponse(thrown).body;
    const { code, message, param } = error;
    const event: ResponseEvent = { type: 'error', sequence_number: 0, code, message, param, error };
    return RESPONSE_EVENTS.event(event);
  },
};
