import type { IncomingHttpHeaders } from 'node:http';
import type { CallerTrace } from '../vocabulary.js';

// version-traceid-parentid-flags. A later version may append fields, which we need not understand; ff is no version.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const NOTHING = /^0+$/;
/** What the standard asks everybody to carry at least. */
const TRACESTATE_LENGTH_MAX = 512;

/** The caller's trace, or undefined if it sent none or one that the standard tells us to ignore. */
export function traceContextOf(headers: IncomingHttpHeaders): CallerTrace | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string' || traceparent.length > 256) return undefined;
  const [, traceId = '', parentId = '', more] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === '' || NOTHING.test(traceId) || NOTHING.test(parentId)) return undefined;
  if (more !== undefined && traceparent.startsWith('00')) return undefined;
  const state = typeof tracestate === 'string' && tracestate.length <= TRACESTATE_LENGTH_MAX ? tracestate : '';
  return { traceId, traceparent, tracestate: state };
}
