import { counter, gauge } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

export type LostReason = 'spool_full' | 'memory_full' | 'refused' | 'unreadable' | 'stopping' | 'stranger';

/** Where records wait. */
export interface WatchedSpool {
  readonly bytes: number;
  readonly records: number;
}

/** How records fare on their way to the database. */
export class RecordMetrics {
  readonly #written = counter(MEASURED.recordsWritten);
  readonly #lost = counter(MEASURED.recordsLost);
  readonly #deliveryFailures = counter(MEASURED.recordDeliveryFailures);

  written(records: number): void {
    this.#written.add(records);
  }

  lost(records: number, reason: LostReason): void {
    this.#lost.add(records, { reason });
  }

  deliveryFailed(): void {
    this.#deliveryFailures.add(1);
  }

  /** @returns what ends it. */
  watch(spool: WatchedSpool): () => void {
    const stops = [
      gauge(MEASURED.recordsWaiting, () => [{ value: spool.records }]),
      gauge(MEASURED.spoolBytes, () => [{ value: spool.bytes }]),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }
}
