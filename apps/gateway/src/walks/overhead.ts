import type { OpenRecord } from '../request-log/request-log.js';
import type { Call } from '../vocabulary.js';

/**
 * For `x-millrace-overhead-ms` of a whole answer: what the gateway added, without the wait for a place and without the worker. The
 * walk knows what was not the gateway's; what is left is known once the answer stands ready to be sent.
 */
export function tellOverhead(call: Pick<Call, 'notOurs'>, record: Readonly<Pick<OpenRecord, 'elsewhereMs'>>): void {
  if (record.elsewhereMs !== undefined) call.notOurs(record.elsewhereMs);
}
