/** The header `x-millrace-dispatch` of a request: by which way it should reach a worker. */
export const DISPATCH_HEADER = 'x-millrace-dispatch';

/** Each with what it asks for, as `/openapi.json` tells it. */
const MEANINGS = {
  queue: 'by the queue of a pool, from which a worker takes it when it has a place',
  grpc: 'sent to a worker at once',
} as const;

export type DispatchAsk = keyof typeof MEANINGS;
export const DISPATCH_ASKS = Object.keys(MEANINGS) as readonly DispatchAsk[];

/** For the parameter. */
export const DISPATCH_HEADER_TEXT = `How the request reaches a worker: ${DISPATCH_ASKS.map((ask) => `\`${ask}\`: ${MEANINGS[ask]}`).join('; ')}. Absent: sent to a worker where one serves the model, else by a queue; \`service_tier\` \`flex\` prefers the queue.`;
