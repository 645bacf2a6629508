import type { RequestLog } from '../request-log/request-log.js';
import type { Call } from '../vocabulary.js';

/** What never reached a walk of its own (no such URL, unreadable JSON, too large a body) is recorded all the same. */
export class RefuseRequest {
  constructor(private readonly requestLog: RequestLog) {}

  run(error: unknown, endpoint: 'admin' | 'other', call: Call): void {
    if (this.requestLog.hasRecorded(error)) return;
    const record = this.requestLog.open(endpoint, call);
    record.fail(error);
    record.close();
  }
}
