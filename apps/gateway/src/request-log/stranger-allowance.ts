import type { RequestRecord } from '../vocabulary.js';

const PER_SECOND = 10;
/** A minute's worth may come at once. */
const AT_ONCE = 60 * PER_SECOND;

/**
 * How many refusals of strangers are on record. Whoever has no key can be refused as often as the network bears: each a row, for
 * `retentionDays`, and a place in the spool that the records of others need. Those beyond are counted, and are lines of the log.
 */
export class StrangerAllowance {
  #left = AT_ONCE;
  #atMs: number | undefined;

  /** @param nowMs of a clock that only goes on. */
  take(record: RequestRecord, nowMs: number): boolean {
    if (!isOfStranger(record)) return true;
    this.#left = Math.min(AT_ONCE, this.#left + ((nowMs - (this.#atMs ?? nowMs)) / 1_000) * PER_SECOND);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

/** Refused before it was anything in particular, and nobody knows to whom it belongs. */
function isOfStranger({ keyId, outcome, endpoint }: RequestRecord): boolean {
  return keyId === undefined && outcome === 'rejected' && (endpoint === 'other' || endpoint === 'admin');
}
