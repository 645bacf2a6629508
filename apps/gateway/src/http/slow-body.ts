import { InferenceError } from '@millrace/contracts';

/** A body that is worth waiting for brings so much in the time that it may stand still. */
const BYTES_MIN = 16 * 1024;

export interface BodyPatience {
  /** It may stand still for so long, or bring less than BYTES_MIN. */
  readonly stallMs: number;
  /** All of it may take so long. */
  readonly totalMs: number;
}

/**
 * Watches how a long body comes in. Only the time that is waited for its sender counts: what keeps it may be slow, too.
 *
 * Ownership: whoever makes it calls `close`.
 */
export class SlowBody {
  readonly #total: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #waitsSinceMs: number | undefined;
  #waitedMs = 0;
  #bytes = 0;

  /** @param onSlow called once, with what to answer. */
  constructor(
    private readonly patience: BodyPatience,
    private readonly onSlow: (error: InferenceError) => void,
  ) {
    const { totalMs } = patience;
    this.#total = setTimeout(() => this.#end(`took longer than ${seconds(totalMs)} s`), totalMs);
  }

  waits(): void {
    if (this.#waitsSinceMs !== undefined) return;
    this.#waitsSinceMs = performance.now();
    this.#timer = setTimeout(() => this.#end(this.#slowness()), this.patience.stallMs - this.#waitedMs);
  }

  came(bytes: number): void {
    this.pauses();
    this.#bytes += bytes;
    if (this.#bytes < BYTES_MIN) return;
    this.#bytes = 0;
    this.#waitedMs = 0;
  }

  pauses(): void {
    clearTimeout(this.#timer);
    if (this.#waitsSinceMs !== undefined) this.#waitedMs += performance.now() - this.#waitsSinceMs;
    this.#waitsSinceMs = undefined;
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#total);
  }

  #slowness(): string {
    return `brought ${this.#bytes} bytes in ${seconds(this.patience.stallMs)} s`;
  }

  #end(how: string): void {
    this.close();
    this.onSlow(new InferenceError('request_timeout', `The body ${how}. Send the request again, faster.`));
  }
}

function seconds(ms: number): string {
  return (ms / 1_000).toLocaleString('en');
}
