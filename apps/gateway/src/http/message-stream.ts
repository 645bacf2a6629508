import { type MessageEvent, toAnthropicResponse } from '@millrace/contracts';
import type { StreamFormat } from './server-sent-events.js';

/** As `/v1/messages` has it: each event by its name, and the last of them says that it is the last. */
export function messageStream(requestId: string): StreamFormat {
  return {
    event: (event) => namedEvent((event as MessageEvent).type, event),
    end: '',
    failure: (error) => namedEvent('error', toAnthropicResponse(error, requestId).body),
  };
}

function namedEvent(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
