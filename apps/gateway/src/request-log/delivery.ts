import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/runtime';
import type { RecordRow } from './record-row.js';
import { type RecordTable, sqlState } from './record-table.js';

export interface LinedRow {
  readonly line: string;
  readonly row: RecordRow;
}

export interface DeliveryOptions {
  /** Ends every wait; what is not written then stays where it was. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Told of a row that the database will never take. */
  readonly refuse: (refused: LinedRow, error: unknown) => Promise<void>;
  /** Told of rows that the database has now, and how many of them it had not before. */
  readonly onWritten: (part: readonly LinedRow[], rows: number) => void;
  readonly onFailure: () => void;
}

const ROWS_MAX = 500;
/** Of one statement: rows with contents are large. A single row may be larger. */
const STATEMENT_CHARS_MAX = 4 * 1024 * 1024;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 10_000;
const TELL_MS = 60_000;

/**
 * Brings rows into the database, however long that takes: it is away, slow, or refuses one of them.
 *
 * How many go together adapts. A statement that failed is tried again with half of its rows: if the database is slow, it has
 * less to do; if it refuses one, that is alone in the end, and left out. Each that succeeds doubles them again.
 */
export class Delivery {
  #rowsMax = ROWS_MAX;
  #batches = 0;
  #failures = 0;
  #failure: string | undefined;
  #toldMs = Number.NEGATIVE_INFINITY;
  #skipPause: (() => void) | undefined;

  constructor(
    private readonly table: Pick<RecordTable, 'write'>,
    private readonly options: DeliveryOptions,
  ) {}

  /** Why the last attempt failed; undefined: it did not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get batches(): number {
    return this.#batches;
  }

  /** Ends the pause before the next attempt. */
  hurry(): void {
    this.#skipPause?.();
  }

  /** @returns true when none of the rows is left to write; false when `signal` aborted before. */
  async deliver(rows: readonly LinedRow[]): Promise<boolean> {
    let next = 0;
    while (next < rows.length && !this.options.signal.aborted) {
      const part = firstOf(rows, next, this.#rowsMax);
      try {
        await this.#write(part);
        next += part.length;
      } catch (error) {
        if (!isRefusal(error)) await this.#pauseAfter(error);
        else if (part.length === 1) {
          await this.options.refuse(part[0]!, error);
          next++;
        }
        this.#rowsMax = Math.max(1, Math.ceil(part.length / 2));
      }
    }
    return next >= rows.length;
  }

  async #write(part: readonly LinedRow[]): Promise<void> {
    const days = new Set(part.map(({ row }) => row.day));
    const written = await this.table.write(
      part.map(({ line }) => line),
      days,
    );
    this.#batches++;
    this.options.onWritten(part, written);
    if (this.#failures > 0) this.options.logger.info('records are written again');
    this.#failures = 0;
    this.#failure = undefined;
    this.#rowsMax = Math.min(ROWS_MAX, this.#rowsMax * 2);
  }

  async #pauseAfter(error: unknown): Promise<void> {
    this.#failure = (error as Error).message;
    this.options.onFailure();
    this.#tell(error);
    const longestMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    // Of several gateways not all come back in the same moment.
    await this.#pause(longestMs * (0.5 + Math.random() / 2));
  }

  async #pause(ms: number): Promise<void> {
    const skipped = new Promise<void>((resolve) => {
      this.#skipPause = resolve;
    });
    const ended = new AbortController();
    const signal = AbortSignal.any([this.options.signal, ended.signal]);
    await Promise.race([skipped, sleep(ms, undefined, { signal }).catch(() => undefined)]);
    ended.abort();
    this.#skipPause = undefined;
  }

  #tell(error: unknown): void {
    if (performance.now() - this.#toldMs < TELL_MS) return;
    this.#toldMs = performance.now();
    this.options.logger.warn({ error: (error as Error).message }, 'records can not be written now, and wait');
  }
}

function firstOf(rows: readonly LinedRow[], from: number, rowsMax: number): readonly LinedRow[] {
  let chars = 0;
  let end = from;
  while (end < rows.length && end - from < rowsMax) {
    chars += rows[end]!.line.length;
    if (end > from && chars > STATEMENT_CHARS_MAX) break;
    end++;
  }
  return rows.slice(from, end);
}

/**
 * What is wrong with the rows and will be the next time: data that the type refuses, a constraint, a size. Everything else
 * passes, or is mended by somebody: a table that isn't there yet, a right that is missing.
 */
function isRefusal(error: unknown): boolean {
  return /^(21|22|23|54)/.test(sqlState(error) ?? '');
}
