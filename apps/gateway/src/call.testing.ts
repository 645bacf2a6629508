import { ANYONE, type Call } from './vocabulary.js';

/** A call of somebody who stays, but for what a test says. */
export function aCall(changes: Partial<Call> = {}): Call {
  return {
    requestId: 'r',
    caller: ANYONE,
    bodyBytes: 100,
    deadlineMs: undefined,
    tell: () => {},
    notOurs: () => {},
    arrivedMs: performance.now(),
    clientLeft: new AbortController().signal,
    trace: undefined,
    ...changes,
  };
}
