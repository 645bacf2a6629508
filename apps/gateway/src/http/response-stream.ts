import type { ResponseEvent } from '@millrace/contracts';
import { errorEvent, writtenJson } from '../walks/response-body.js';
import type { StreamFormat } from './server-sent-events.js';

/** As `/v1/responses` has it: every event has its type as its name, and the last of them says how the response ended. */
export const RESPONSE_EVENTS: StreamFormat = {
  event: (chunk) => {
    const event = chunk as ResponseEvent;
    return `event: ${event.type}\ndata: ${writtenJson(event) ?? JSON.stringify(event)}\n\n`;
  },
  end: '',
  // Of what failed before its first event, when the status was spent already.
  failure: (thrown) => RESPONSE_EVENTS.event(errorEvent(thrown, 0)),
};

/** Of a stream that goes on behind an event, as the query has its number: what fails before the next is no reason to go on from elsewhere. */
export function eventsBehind(startingAfter: unknown): StreamFormat {
  const after = Math.max(0, Number(startingAfter)) || 0;
  return { ...RESPONSE_EVENTS, failure: (thrown) => RESPONSE_EVENTS.event(errorEvent(thrown, after)) };
}
