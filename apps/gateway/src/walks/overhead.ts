import type { OpenRecord } from '../request-log/request-log.js';
import type { Call } from '../vocabulary.js';

/** `x-millrace-overhead-ms` of a whole answer: what the gateway added, without the wait for a place and without the worker. */
export function tellOverhead(call: Pick<Call, 'tell'>, record: Pick<OpenRecord, 'overheadMs'>): void {
  if (record.overheadMs === undefined) return;
  call.tell({ 'x-millrace-overhead-ms': record.overheadMs.toFixed(2) });
}
