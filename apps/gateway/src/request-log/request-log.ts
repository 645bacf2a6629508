import { InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { Call, Endpoint, RequestRecord } from '../vocabulary.js';
import { type GapListener, OpenRecord } from './open-record.js';

export { OpenRecord } from './open-record.js';

/** Who else wants every record, besides the log: metrics. Told in turn, and must not throw or wait. */
export type RecordListener = (record: RequestRecord) => void;

/** Whether records hold what was asked and answered, unless the caller's key has its own; and how much of either. */
export interface ContentSettings {
  readonly logMessages: boolean;
  readonly messageBytesMax: number;
}

/** One record per request: opened when it arrives, written once when it ends. */
export class RequestLog {
  // So that what reaches the caller through the error filter is not recorded again there.
  readonly #recorded = new WeakSet<object>();

  constructor(
    private readonly logger: Logger,
    private readonly listeners: readonly RecordListener[] = [],
    private readonly contents: ContentSettings = { logMessages: false, messageBytesMax: 0 },
    private readonly onGap?: GapListener,
  ) {}

  open(endpoint: Endpoint, call: Call): OpenRecord {
    const { logMessages, messageBytesMax } = this.contents;
    const bytesMax = (call.caller.logMessages ?? logMessages) ? messageBytesMax : 0;
    return new OpenRecord(endpoint, call, (record, error) => this.#write(record, error), bytesMax, this.onGap);
  }

  hasRecorded(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false;
    // The same failure in another API's words has it as its cause.
    return this.#recorded.has(error) || (error instanceof InferenceError && this.hasRecorded(error.details.cause));
  }

  #write(record: RequestRecord, error: unknown): void {
    if (typeof error === 'object' && error !== null) this.#recorded.add(error);
    for (const listener of this.listeners) listener(record);
    // Making the line costs more than most of what is done for a record: only where it is wanted.
    if (this.logger.isLevelEnabled('info')) this.logger.info(lineOf(record), 'request');
    // The only place that sees the inside of a failure that nobody foresaw.
    if (record.code === 'internal_error') {
      const cause = error instanceof InferenceError ? error.details.cause : error;
      const { requestId, traceId } = record;
      this.logger.error({ requestId, traceId, error: cause ?? error }, 'internal error');
    }
  }
}

/**
 * The record, with times rounded to what is worth reading. The log is no place for contents, and parameters are many; a line has its
 * own time, and the request's id leads to the record.
 */
function lineOf(record: RequestRecord): Record<string, unknown> {
  const { contents: _contents, parameters: _parameters, recordId: _id, arrivedAtMs: _arrived, ...told } = record;
  return Object.fromEntries(
    Object.entries(told).map(([key, value]) => [
      key,
      typeof value === 'number' ? Math.round(value * 100) / 100 : value,
    ]),
  );
}
