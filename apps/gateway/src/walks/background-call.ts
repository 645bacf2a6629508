import { type Call, type Caller, LOW_PRIORITY } from '../vocabulary.js';

/** A call that nobody has sent, in the name of a key: a line of a batch, or chunks for a vector store. Everybody else goes before it. */
export function backgroundCall(
  { requestId, caller, bodyBytes }: { requestId: string; caller: Caller; bodyBytes: number },
  signal: AbortSignal,
): Call {
  return {
    requestId,
    caller: { ...caller, priority: LOW_PRIORITY },
    bodyBytes,
    deadlineMs: undefined,
    tell: () => {},
    notOurs: () => {},
    arrivedMs: performance.now(),
    clientLeft: signal,
    trace: undefined,
    course: {},
  };
}
