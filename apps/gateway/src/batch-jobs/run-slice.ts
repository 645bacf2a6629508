import { setTimeout as sleep } from 'node:timers/promises';
import { randomHex } from '@millrace/runtime';
import { afterFailure, countedAs } from './after-failure.js';
import type { BatchRow } from './batch-row.js';
import type { BoundedCounts } from './bounded-counts.js';
import type { Slice } from './check-input.js';
import type { LineGate } from './line-gate.js';
import { answered, DUPLICATE_CUSTOM_ID, type LineAnswer, type LineOutcome, notSent, refused } from './line-outcome.js';
import type { BatchLine } from './read-batch-line.js';

/** A request as it stands in a line. */
export interface LineRequest {
  readonly endpoint: BatchRow['endpoint'];
  readonly body: object;
  readonly bodyBytes: number;
  readonly requestId: string;
}

export interface SliceLine {
  readonly number: number;
  readonly read: Exclude<BatchLine, { kind: 'blank' }>;
}

export interface SliceWork {
  readonly batch: Pick<BatchRow, 'id' | 'endpoint' | 'expires_at'>;
  readonly slice: Pick<Slice, 'duplicates'>;
  /** Those of which nothing is known yet. */
  readonly lines: readonly SliceLine[];
  /** Sends a request, as its caller would. */
  readonly answer: (request: LineRequest, signal: AbortSignal) => Promise<LineAnswer>;
  /** Keeps what came of a line; resolves when more may come. */
  readonly record: (outcome: LineOutcome) => Promise<void>;
  /** Of lines that may fail by their own doing, by batch and line: outlives a slice that is given back, as long as this process lives. */
  readonly failures: BoundedCounts;
  /** No more lines are begun: the batch is to end, or this gateway. */
  readonly stopping: AbortSignal;
  /** Lines that run are given up, and what they were is not known. */
  readonly leaving: AbortSignal;
}

/** `putOff`: nothing more can be done before that; somebody may try again then. `stopped`: some lines were not run. */
export type SliceResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'putOff'; readonly forMs: number };

/** A pause that is longer gives the slice back: others can do something meanwhile, perhaps for another caller. */
const PAUSE_MS_MAX = 5_000;

/**
 * Runs the lines of a slice, as many at a time as the gate lets in. A line that is refused for a while goes to the end of the line, and
 * all wait: what held for one of a key, or of a model, most often holds for the next. One that was lost with its worker runs alone.
 */
export async function runSlice(work: SliceWork, gate: LineGate): Promise<SliceResult> {
  const run = new SliceRun(work, gate);
  for (;;) {
    const next = run.next();
    if (next !== undefined) await run.begin(next);
    else if (run.running > 0) await run.oneEnds();
    else return run.result();
  }
}

interface OpenLine {
  readonly number: number;
  readonly customId: string;
  readonly body: object;
  readonly bodyBytes: number;
}

class SliceRun {
  readonly #waiting: OpenLine[] = [];
  readonly #broken: LineOutcome[] = [];
  readonly #running = new Set<Promise<void>>();
  #pausedUntilMs = 0;
  #putOff = 0;
  #failure: unknown;

  constructor(
    private readonly work: SliceWork,
    private readonly gate: LineGate,
  ) {
    const { batch, slice, lines } = work;
    const duplicates = new Set(slice.duplicates);
    for (const { number: line, read } of lines) {
      const place = { batchId: batch.id, line, customId: read.customId };
      if (read.kind === 'broken') this.#broken.push(notSent(place, read.error));
      else if (duplicates.has(line)) this.#broken.push(notSent(place, DUPLICATE_CUSTOM_ID));
      else this.#waiting.push({ ...read, number: line });
    }
  }

  get running(): number {
    return this.#running.size;
  }

  /** Undefined: none may be begun before one has ended, or none at all. */
  next(): LineOutcome | OpenLine | undefined {
    if (this.#failure !== undefined || this.work.stopping.aborted) return undefined;
    const broken = this.#broken.shift();
    if (broken !== undefined) return broken;
    return this.#pauseMs() > PAUSE_MS_MAX ? undefined : this.#waiting.shift();
  }

  async begin(line: LineOutcome | OpenLine): Promise<void> {
    if ('text' in line) return this.work.record(line);
    try {
      if (this.#pauseMs() > 0) await sleep(this.#pauseMs(), undefined, { signal: this.work.stopping });
      // What was lost with its worker may be what ended it: asked again beside others, it would take them with it until they, too, have failed.
      const alone = this.work.failures.of(this.#nameOf(line, 'lost')) > 0;
      const permit = await this.gate.enter(this.work.stopping, { alone });
      const running: Promise<void> = this.#run(line, permit)
        .catch((error: unknown) => {
          this.#failure ??= error;
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    } catch (error) {
      if (!this.work.stopping.aborted) throw error;
      this.#waiting.push(line);
    }
  }

  async oneEnds(): Promise<void> {
    await Promise.race(this.#running);
  }

  result(): SliceResult {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#waiting.length === 0 && this.#broken.length === 0) return { kind: 'done' };
    if (this.work.stopping.aborted) return { kind: 'stopped' };
    return { kind: 'putOff', forMs: Math.max(0, this.#pauseMs()) };
  }

  async #run(line: OpenLine, permit: Disposable): Promise<void> {
    using _permit = permit;
    const { batch, answer, record, leaving } = this.work;
    const place = { batchId: batch.id, line: line.number, customId: line.customId };
    // Its batch and its line are found in the records by it, however often it was asked.
    const requestId = `${batch.id.replace('_', '-')}-${line.number}-${randomHex(4)}`;
    const { body, bodyBytes } = line;
    const got = await answer({ endpoint: batch.endpoint, body, bodyBytes, requestId }, leaving).catch(
      (error: unknown) => ({ error }),
    );
    if ('json' in got) {
      this.#putOff = 0;
      this.#forget(line);
      await record(answered(place, requestId, got));
    } else if (leaving.aborted) this.#waiting.push(line);
    else await this.#failed(line, got.error, () => refused(place, requestId, got.error));
  }

  async #failed(line: OpenLine, error: unknown, outcome: () => LineOutcome): Promise<void> {
    const counted = countedAs(error);
    const times = counted === undefined ? 0 : this.work.failures.add(this.#nameOf(line, counted));
    const leftMs = this.work.batch.expires_at.getTime() - Date.now();
    const then = afterFailure(error, { times, putOff: this.#putOff + 1, leftMs });
    if (then.kind === 'tell') {
      this.#putOff = 0;
      this.#forget(line);
      return this.work.record(outcome());
    }
    // Those that ran beside it are refused for the same reason, and count as one.
    if (this.#pauseMs() <= 0) this.#putOff += 1;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + then.inMs);
    this.#waiting.push(line);
  }

  #forget(line: OpenLine): void {
    for (const counted of ['failed', 'lost'] as const) this.work.failures.forget(this.#nameOf(line, counted));
  }

  #nameOf({ number }: OpenLine, counted: 'failed' | 'lost'): string {
    return `${this.work.batch.id}.${number}.${counted}`;
  }

  #pauseMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }
}
