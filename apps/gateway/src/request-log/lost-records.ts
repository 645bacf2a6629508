import type { Logger } from '@millrace/runtime';
import type { LostReason, RecordMetrics } from '../metrics/record-metrics.js';

const TELL_MS = 60_000;
/** So long after the last loss it is still said where somebody looks. */
const REMEMBER_MS = 10 * 60_000;

const WHY: Readonly<Record<LostReason, string>> = {
  spool_full: 'the spool was full (spoolBytesMax)',
  memory_full: 'the disk did not take them, and memory was full',
  refused: 'the database refused them',
  unreadable: 'they could not be read',
  stopping: 'the gateway stopped while they were in memory',
  stranger: 'many were refused who had no key',
};

/** Counts records that nobody will ever read, and says so: each in a metric, once a minute in the log. */
export class LostRecords {
  #untold = new Map<LostReason, number>();
  #timer: NodeJS.Timeout | undefined;
  #last: { readonly reason: LostReason; readonly atMs: number } | undefined;
  #total = 0;

  constructor(
    private readonly logger: Logger,
    private readonly metrics: RecordMetrics,
  ) {}

  add(reason: LostReason, records: number): void {
    if (records <= 0) return;
    this.metrics.lost(records, reason);
    // Else strangers could have the gateway call itself degraded.
    if (reason !== 'stranger') this.#remember(reason, records);
    this.#untold.set(reason, (this.#untold.get(reason) ?? 0) + records);
    if (this.#timer !== undefined) return;
    // The first at once, the others of the minute together.
    this.#tell();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#tell();
    }, TELL_MS).unref();
  }

  #remember(reason: LostReason, records: number): void {
    this.#total += records;
    this.#last = { reason, atMs: performance.now() };
  }

  get trouble(): string | undefined {
    if (this.#last === undefined || performance.now() - this.#last.atMs > REMEMBER_MS) return undefined;
    return `${this.#total} records were lost since the start, the last of them because ${WHY[this.#last.reason]}.`;
  }

  /** Says what it has not said yet. */
  close(): void {
    clearTimeout(this.#timer);
    this.#tell();
  }

  #tell(): void {
    for (const [reason, records] of this.#untold) this.logger.error({ records, why: WHY[reason] }, 'records were lost');
    this.#untold.clear();
  }
}
