import { setTimeout as sleep } from 'node:timers/promises';
import { InferenceError } from '@millrace/contracts';
import { counter, gauge, type Logger } from '@millrace/runtime';
import { ObjectStoreUnavailable } from '@millrace/storage';
import type { BatchFiles } from '../batch-jobs/batch-files.js';
import { type BatchJob, batchJobOf, newJob, nextSteps } from '../batch-jobs/batch-jobs.js';
import { type BatchRow, isOver } from '../batch-jobs/batch-row.js';
import type { BatchStore, OpenWork } from '../batch-jobs/batch-store.js';
import { BoundedCounts } from '../batch-jobs/bounded-counts.js';
import { checkInput, fileError, type InputLimits, type Slice } from '../batch-jobs/check-input.js';
import type { LineGate } from '../batch-jobs/line-gate.js';
import { BATCH_EXPIRED, DUPLICATE_CUSTOM_ID, type LineOutcome, notSent } from '../batch-jobs/line-outcome.js';
import { OutcomeBuffer } from '../batch-jobs/outcome-buffer.js';
import { runSlice, type SliceLine } from '../batch-jobs/run-slice.js';
import { SegmentGone, type SegmentStore } from '../batch-jobs/segments.js';
import { readSlice } from '../batch-jobs/slice-lines.js';
import { MEASURED } from '../metrics/declarations.js';
import { HeldJob } from '../stores/held-job.js';
import {
  type JobCounts,
  type JobQueue,
  JobQueueFull,
  JobQueueUnavailable,
  type TakenJob,
} from '../stores/job-queue.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { ANYONE, type Caller } from '../vocabulary.js';
import type { AnswerBatchLine } from './answer-batch-line.js';

export interface BatchParts {
  readonly queue: JobQueue;
  readonly store: BatchStore;
  readonly files: BatchFiles;
  readonly segments: SegmentStore;
  readonly gate: LineGate;
  readonly answerLine: AnswerBatchLine;
  readonly callers: Callers;
}

interface Callers {
  /** Undefined: the key is valid no more. */
  callerOfKey(keyId: string): Promise<Caller | undefined>;
}

export interface BatchPace {
  /** Between two looks for what is to be done and stands in no queue: Redis has lost it, or whoever would have added it was killed. */
  readonly sweepMs: number;
  /** Of those that are looked at then; the next look goes on behind them. */
  readonly sweptBatchesMax: number;
  /** After this a slice goes behind the jobs that wait meanwhile: lines that take long keep no other batch back, nor its checking. */
  readonly sliceTurnMs: number;
}

export const BATCH_PACE: BatchPace = { sweepMs: 5_000, sweptBatchesMax: 64, sliceTurnMs: 30_000 };
/** So that a batch that waits for its caller's rate does not keep the others waiting. */
const JOBS_AT_ONCE = 2;
/** Between two looks whether a batch that runs is to end. */
const WATCH_MS = 1_000;
/** Lines that run when their batch is to end may end themselves within this time. */
const LAST_LINES_MS = 5_000;
/** After a step that failed: doubled each time. */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 60_000;
/** How often an input is checked that can't be, although no store is away: then its batch fails. */
const CHECKS_MAX = 5;
/** Batches and lines whose failures this process remembers. Another counts for itself. */
const REMEMBERED_MAX = 10_000;

/**
 * Batch jobs, from an input file to an output file: check it → cut it into slices → run their lines → put the answers together.
 *
 * Each step is a job of the queue, and can be taken twice: it goes on from what the database has, and what it finds done it passes over.
 * docs/concepts/batch-jobs.md says what that rests on.
 *
 * Ownership: it works by itself from `start` on, until `stop`.
 * Concurrency: JOBS_AT_ONCE jobs here, and any number at other gateways.
 */
export class RunBatchJobs {
  /** No line is begun any more. */
  readonly #stopping = new AbortController();
  /** Nothing is waited for any more. */
  readonly #leaving = new AbortController();
  #loops: readonly Promise<void>[] = [];
  #counts: JobCounts = { waiting: 0, taken: 0 };
  readonly #checkFailures = new BoundedCounts(REMEMBERED_MAX);
  readonly #lineFailures = new BoundedCounts(REMEMBERED_MAX);
  readonly #lines = counter(MEASURED.batchLines);
  readonly #endGauge = gauge(MEASURED.batchJobs, () => [
    { value: this.#counts.waiting, labels: { state: 'waiting' } },
    { value: this.#counts.taken, labels: { state: 'taken' } },
  ]);

  constructor(
    private readonly parts: BatchParts,
    private readonly limits: InputLimits,
    private readonly logger: Logger,
    private readonly pace: BatchPace = BATCH_PACE,
  ) {}

  start(): void {
    const takers = Array.from({ length: JOBS_AT_ONCE }, () => this.#takeJobs());
    this.#loops = [...takers, this.#sweep()];
  }

  /** Steps that can be taken now are put into the queue. Where it is full or away, the next look does. */
  async advance(batchId: string): Promise<void> {
    await this.#addSteps(await this.parts.store.openWork({ id: batchId }));
  }

  async #addSteps(works: readonly OpenWork[]): Promise<void> {
    const { queue } = this.parts;
    for (const work of works) for (const step of nextSteps(work)) await queue.add(newJob(step));
  }

  /** Lines that run may end within so long. What was not done then is done by others, or after the next start. */
  async stop(waitMs: number): Promise<void> {
    this.#stopping.abort(new Error('This gateway stops.'));
    const timer = setTimeout(() => this.#leaving.abort(new Error('This gateway stops.')), waitMs);
    await Promise.all(this.#loops);
    clearTimeout(timer);
    this.#endGauge();
  }

  async #takeJobs(): Promise<void> {
    const { queue } = this.parts;
    for (;;) {
      const job = await queue.take(this.#stopping.signal).catch(() => undefined);
      if (job === undefined) return;
      await this.#do(job);
    }
  }

  async #sweep(): Promise<void> {
    const { queue, store } = this.parts;
    const { signal } = this.#stopping;
    let after = 0;
    while (!signal.aborted) {
      try {
        await store.expire();
        const works = await store.openWork({ after, batchesMax: this.pace.sweptBatchesMax });
        // A page that the queue has no room for is looked at again.
        await this.#addSteps(works);
        after = works.length < this.pace.sweptBatchesMax ? 0 : works.at(-1)!.number;
        this.#counts = await queue.counts();
      } catch (error) {
        // Database or queue is away, and says so itself.
        if (!(error instanceof JobQueueFull)) this.logger.debug({ error }, 'batches were not looked at');
      }
      await sleep(this.pace.sweepMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #do(taken: TakenJob): Promise<void> {
    const { queue } = this.parts;
    using held = new HeldJob(queue, taken);
    try {
      const job = batchJobOf(taken.payload);
      const delayMs = await this.#step(job, AbortSignal.any([held.lost, this.#leaving.signal]));
      if (delayMs !== undefined) return void (await queue.retryLater(taken, delayMs));
      await queue.done(taken);
      // What is not added now, the next look adds.
      await this.advance(job.batchId).catch(() => undefined);
    } catch (error) {
      if (!held.lost.aborted) await this.#failed(taken, error);
    }
  }

  /** Away is what comes back; anything else is a bug that somebody wants to see, and the batch has its window for that to be mended in. */
  async #failed(taken: TakenJob, error: unknown): Promise<void> {
    const isLeaving = this.#leaving.signal.aborted;
    if (!isLeaving && (await this.#givesUp(taken, error))) return;
    const delayMs = isLeaving ? 0 : Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(taken.attempt - 1, 10));
    if (!isLeaving) this.logger.warn({ error, job: taken.id, delayMs }, 'a step of a batch failed; it is tried again');
    await this.parts.queue.retryLater(taken, delayMs).catch(() => false);
  }

  /** An input that can't be checked, again and again: whoever made the batch hears so now rather than when its window is over. */
  async #givesUp(taken: TakenJob, error: unknown): Promise<boolean> {
    const { step, batchId } = batchJobOf(taken.payload);
    if (step !== 'check' || isAway(error) || this.#checkFailures.add(batchId) < CHECKS_MAX) return false;
    const { store, queue } = this.parts;
    try {
      await store.fail(batchId, [NOT_CHECKED]);
    } catch {
      return false;
    }
    this.#checkFailures.forget(batchId);
    this.logger.error({ error, batchId }, 'the input of a batch could not be checked; the batch has failed');
    await queue.done(taken).catch(() => false);
    return true;
  }

  /** @returns after how many milliseconds it is to be taken again; undefined: it is done. */
  async #step(job: BatchJob, leaving: AbortSignal): Promise<number | undefined> {
    const batch = await this.parts.store.find(job.batchId);
    if (batch === undefined) return undefined;
    switch (job.step) {
      case 'check':
        return batch.status === 'validating' ? this.#check(batch, leaving) : undefined;
      case 'slice':
        return isOver(batch) ? undefined : this.#slice(batch, job.slice, leaving);
      case 'finish':
        return this.#finish(batch, leaving);
    }
  }

  async #check(batch: BatchRow, signal: AbortSignal): Promise<undefined> {
    const { files, store } = this.parts;
    await using file = await files.open(batch.input_file_id, batch.key_id, undefined, signal);
    if (file === undefined) return void (await store.fail(batch.id, [INPUT_GONE]));
    await store.checked(batch.id, await checkInput(file.content, batch.endpoint, this.limits));
  }

  async #slice(batch: BatchRow, number: number, leaving: AbortSignal): Promise<number | undefined> {
    const { store, files } = this.parts;
    const slice = await store.openSlice(batch.id, number);
    if (slice === undefined) return undefined;
    // Of a batch that was cancelled only what is known already is put together.
    if (batch.ending === 'cancelled' || batch.ending === 'failed') {
      await this.#close(batch, number, undefined, leaving);
      return undefined;
    }
    const caller = await this.#callerOf(batch);
    if (caller === undefined) await store.end(batch.id, 'cancelled', [KEY_GONE]);
    const lines = await readSlice(files, batch, slice, this.limits.lineBytesMax, leaving);
    if (lines === undefined) await store.end(batch.id, 'failed', [INPUT_GONE]);

    const done = await store.linesDone(batch.id, number);
    const open = (lines ?? []).filter((line) => !done.has(line.number));
    const buffer = new OutcomeBuffer((outcomes) => this.#record(batch.id, number, outcomes), leaving);
    let isDone = false;
    if (caller !== undefined && lines !== undefined && batch.ending === null) {
      const result = await this.#run({ batch, slice, lines: open, caller }, buffer, leaving);
      await buffer.flush();
      if (result.kind === 'putOff') return result.forMs;
      isDone = result.kind === 'done';
    }
    const { ending } = (await store.find(batch.id)) ?? batch;
    // Only a batch that is to end is closed with lines missing.
    if (!isDone && ending === null) return 0;
    if (!isDone && ending === 'expired') {
      const known = await store.linesDone(batch.id, number);
      for (const line of open) if (!known.has(line.number)) await giveUp(batch, slice, line, buffer);
      await buffer.flush();
    }
    const wanted = isDone ? lines?.length : undefined;
    await this.#close(batch, number, wanted, leaving);
    return undefined;
  }

  /** Undefined: its key is valid no more. */
  async #callerOf({ key_id }: BatchRow): Promise<Caller | undefined> {
    return key_id === null ? ANYONE : this.parts.callers.callerOfKey(key_id);
  }

  async #run(
    { batch, slice, lines, caller }: { batch: BatchRow; slice: Slice; lines: readonly SliceLine[]; caller: Caller },
    buffer: OutcomeBuffer,
    leaving: AbortSignal,
  ) {
    const { gate, answerLine } = this.parts;
    using watch = new BatchWatch(() => this.#isToEnd(batch));
    // The lines that run then end, and are kept; those that wait go on when the slice has its next turn.
    const turnOver = AbortSignal.timeout(this.pace.sliceTurnMs);
    // Awaited here, since the watch ends with this function.
    return await runSlice(
      {
        batch,
        slice,
        lines,
        answer: (request, signal) => answerLine.run(request, caller, signal),
        record: (outcome) => buffer.add(outcome),
        failures: this.#lineFailures,
        stopping: AbortSignal.any([this.#stopping.signal, watch.ending, turnOver, leaving]),
        leaving: AbortSignal.any([watch.over, leaving]),
      },
      gate,
    );
  }

  async #isToEnd({ id }: BatchRow): Promise<boolean> {
    const { store } = this.parts;
    const batch = await store.find(id);
    if (batch?.status !== 'in_progress') return true;
    if ((await this.#callerOf(batch)) !== undefined) return false;
    await store.end(id, 'cancelled', [KEY_GONE]);
    return true;
  }

  async #record(batchId: string, slice: number, outcomes: readonly LineOutcome[]): Promise<void> {
    const { answered, failed } = await this.parts.store.record(batchId, slice, outcomes);
    this.#lines.add(answered, { outcome: 'answered' });
    this.#lines.add(failed, { outcome: 'failed' });
  }

  /**
   * What is known of its lines goes into segments, and the slice is closed. Where another did so first, or added a line, these go.
   *
   * @param wanted how many lines there must be; undefined: as many as there are.
   */
  async #close({ id }: BatchRow, slice: number, wanted: number | undefined, signal: AbortSignal): Promise<void> {
    const { segments, store } = this.parts;
    const written = await segments.write(id, slice, signal);
    const isWhole = wanted === undefined || written.lines === wanted;
    if (isWhole && (await store.closeSlice(id, slice, written.lines, written))) return;
    await segments.discard(written, signal);
    if ((await store.openSlice(id, slice)) !== undefined)
      throw new Error('The slice changed while it was being closed.');
  }

  /** Files first, and then the batch that names them: made again, they are the same. */
  async #finish(batch: BatchRow, signal: AbortSignal): Promise<undefined> {
    const { segments, store } = this.parts;
    if (batch.status === 'finalizing' || batch.status === 'cancelling') {
      try {
        await this.#makeFiles(batch, signal);
        await store.finish(batch.id);
        this.logger.info({ batchId: batch.id, ending: batch.ending ?? 'completed' }, 'a batch is over');
      } catch (error) {
        if (!(error instanceof SegmentGone)) throw error;
        await store.abandon(batch.id, [ANSWERS_GONE]);
        this.logger.error(
          { error, batchId: batch.id },
          'answers of a batch are gone from the object store; it has failed',
        );
      }
    }
    if (await store.isOver(batch.id)) await segments.discardAll(batch.id, signal);
  }

  async #makeFiles(batch: BatchRow, signal: AbortSignal): Promise<void> {
    const parts = await this.parts.store.segments(batch.id);
    const outputs = parts.map(({ outputKey }) => outputKey);
    await this.#makeFile(batch, 'output', outputs, signal);
    const errors = parts.map(({ errorKey }) => errorKey);
    await this.#makeFile(batch, 'error', errors, signal);
  }

  /** Unless it would be empty, or is there already. The batch knows its id in the moment in which it becomes visible, so there is one. */
  async #makeFile(
    batch: BatchRow,
    kind: 'output' | 'error',
    keys: readonly (string | null)[],
    signal: AbortSignal,
  ): Promise<void> {
    const { files, segments, store } = this.parts;
    if (batch[`${kind}_file_id`] !== null || keys.every((key) => key === null)) return;
    const filename = `${batch.id}_${kind}.jsonl`;
    const expiresAfterSeconds = batch.output_expires_after ?? undefined;
    await files.create(
      { keyId: batch.key_id, filename, expiresAfterSeconds },
      segments.read(keys, signal),
      (query, fileId) => store.keepFile(query, batch.id, kind, fileId),
      signal,
    );
  }
}

const INPUT_GONE = fileError(
  'file_not_found',
  'The input file is gone. Upload it again, and make a new batch.',
  'input_file_id',
);
const ANSWERS_GONE = fileError(
  'internal_error',
  'Answers of this batch are gone from the object store of this server, so there is no whole file of them. Make the batch again.',
);
const NOT_CHECKED = fileError(
  'internal_error',
  'The input file could not be checked, for a reason of this server. Its log says more. Make the batch again later, or tell whoever runs it.',
  'input_file_id',
);
const KEY_GONE = fileError(
  'invalid_api_key',
  'The API key that made this batch is valid no more, so nothing more is done in its name.',
);

/** It comes back by itself. */
function isAway(error: unknown): boolean {
  return (
    error instanceof DatabaseUnavailable ||
    error instanceof ObjectStoreUnavailable ||
    error instanceof JobQueueUnavailable ||
    (error instanceof InferenceError && error.code === 'store_unavailable')
  );
}

/** A line that was not run in time; what is wrong with it is told first. */
async function giveUp(
  { id }: BatchRow,
  { duplicates }: Slice,
  { number: line, read }: SliceLine,
  buffer: OutcomeBuffer,
) {
  const place = { batchId: id, line, customId: read.customId };
  if (read.kind === 'broken') return buffer.add(notSent(place, read.error));
  return buffer.add(notSent(place, duplicates.includes(line) ? DUPLICATE_CUSTOM_ID : BATCH_EXPIRED));
}

/** Looks now and then whether a batch is to end while lines of it run. */
class BatchWatch implements Disposable {
  readonly #ending = new AbortController();
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout;

  constructor(private readonly isToEnd: () => Promise<boolean>) {
    this.#timer = setTimeout(() => void this.#look(), WATCH_MS);
  }

  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /** Those that still run are given up. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#ending.abort();
  }

  async #look(): Promise<void> {
    // While it can not be told, the batch goes on.
    const toEnd = await this.isToEnd().catch(() => false);
    if (this.#ending.signal.aborted) return;
    if (toEnd) this.#ending.abort(new Error('The batch is to end.'));
    this.#timer = toEnd
      ? setTimeout(() => this.#over.abort(new Error('The batch is to end.')), LAST_LINES_MS)
      : setTimeout(() => void this.#look(), WATCH_MS);
  }
}
