import { appendFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { RecordMetrics } from '../metrics/record-metrics.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import type { RequestRecord } from '../vocabulary.js';
import { Delivery, type LinedRow } from './delivery.js';
import { LostRecords } from './lost-records.js';
import { dayAfter, dayOf } from './record-days.js';
import { lineOfRow, rowOf, rowOfLine } from './record-row.js';
import { RecordTable } from './record-table.js';
import { type Appended, type Segment, Spool } from './spool.js';
import { HEARTBEAT_MS, type Processes, SpoolFolders } from './spool-folders.js';
import { StrangerAllowance } from './stranger-allowance.js';
import { UnwrittenTokens } from './unwritten-tokens.js';

export type RecordSettings = Pick<Settings, 'dataFolder' | 'spoolBytesMax' | 'recordBatchMs' | 'retentionDays'>;

/** Records that may be in memory: on their way to the disk, or instead of it where there is none. */
const MEMORY_BYTES_MAX = 16 * 1024 * 1024;
/** So many waiting are written at once. */
const BATCH_ROWS_MAX = 500;
/** Rows that Postgres refused, for whoever wants to know why. */
const REFUSED_BYTES_MAX = 16 * 1024 * 1024;
/** Of refusals, the first of so long is told with its reason. */
const TELL_MS = 60_000;
const ADOPT_MS = 60_000;
/** A disk that doesn't answer keeps a start and an end no longer. */
const OPEN_MS_MAX = 5_000;
const CLOSE_MS_MAX = 2_000;
const CHORES_MS = 3_600_000;
/** Partitions there are ahead of today. */
const DAYS_AHEAD = 7;

/**
 * Takes every record, and sees to it that the database has it, once: `observe` appends it to a file and is done, and a loop of its
 * own writes from there. Nothing here is awaited by a request, and nothing that fails here fails one.
 *
 * Ownership: the spool and its folder are this object's; the database is not, and is closed after this.
 * Concurrency: one loop, one batch at a time. A batch whose end nobody knows is sent again, since writing it twice changes nothing.
 */
export class RecordWriter {
  readonly #table: RecordTable;
  readonly #folders: SpoolFolders;
  readonly #spool: Spool;
  readonly #delivery: Delivery;
  readonly #lost: LostRecords;
  readonly #metrics = new RecordMetrics();
  readonly #unwritten = new UnwrittenTokens();
  readonly #strangers = new StrangerAllowance();
  readonly #root: string;
  readonly #stop = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #diskTrouble: string | undefined;
  /** Ends the loop's present wait, if it waits for something to do. */
  #wake: (() => void) | undefined;
  #refusalToldMs = Number.NEGATIVE_INFINITY;
  #isHurried = false;
  #isClosed = false;
  #isDelivering = false;
  /** What is being delivered. */
  #isInherited = false;
  #emptied: (() => void)[] = [];
  #loop: Promise<void> = Promise.resolve();
  #stopWatching: () => void = () => {};

  constructor(
    database: SqlDatabase,
    private readonly settings: RecordSettings,
    private readonly logger: Logger,
    processes?: Processes,
  ) {
    this.#table = new RecordTable(database);
    this.#root = join(settings.dataFolder, 'spool');
    this.#folders = new SpoolFolders(this.#root, processes);
    this.#spool = new Spool({
      folder: this.#folders.own,
      claim: () => this.#folders.claim(),
      bytesMax: settings.spoolBytesMax,
      memoryBytesMax: Math.min(MEMORY_BYTES_MAX, settings.spoolBytesMax),
      onDisk: (failure) => this.#noticeDisk(failure),
    });
    this.#lost = new LostRecords(logger, this.#metrics);
    this.#delivery = new Delivery(this.#table, {
      signal: this.#stop.signal,
      logger,
      refuse: (refused, error) => this.#refuse(refused, error),
      onWritten: (part, rows) => {
        this.#metrics.written(rows);
        this.#settle(part);
      },
      onFailure: () => this.#metrics.deliveryFailed(),
    });
  }

  /** Takes over what gateways before left, and begins to write. Never fails: what is wrong stands in `trouble`. */
  async open(): Promise<void> {
    await within(OPEN_MS_MAX, this.#spool.open());
    await within(OPEN_MS_MAX, this.#adopt());
    this.#stopWatching = this.#metrics.watch(this.#spool);
    this.#every(HEARTBEAT_MS, () => this.#folders.beat());
    this.#every(ADOPT_MS, () => this.#adopt());
    this.#every(CHORES_MS, () => this.#doChores());
    void this.#doChores();
    this.#loop = this.#run();
  }

  /** A listener of the `RequestLog`. Neither waits nor throws. */
  readonly observe = (record: RequestRecord): void => {
    const appended = this.#isClosed ? 'stopping' : this.#append(record);
    if (appended !== 'kept') this.#lost.add(appended, 1);
    const waiting = this.#spool.records;
    if (waiting === 1 || waiting >= BATCH_ROWS_MAX) this.#wake?.();
  };

  #append(record: RequestRecord): Appended | 'unreadable' | 'stranger' {
    if (!this.#strangers.take(record, performance.now())) return 'stranger';
    try {
      const row = rowOf(record);
      const appended = this.#spool.append(lineOfRow(row));
      if (appended === 'kept') this.#unwritten.add(row);
      return appended;
    } catch (error) {
      this.logger.error({ error, requestId: record.requestId }, 'a record can not be written as JSON');
      return 'unreadable';
    }
  }

  /** Records that are not in the database yet. Those that another gateway left are a guess until they are read. */
  get pending(): number {
    return this.#spool.records;
  }

  /** Grows with every batch that is written. */
  get batches(): number {
    return this.#delivery.batches;
  }

  /** Tokens of a key that are not in the database yet, of the days from `fromDay` on. */
  unwrittenTokens(keyId: string, fromDay: string): number {
    return this.#unwritten.of(keyId, fromDay);
  }

  /** What is wrong just now, as sentences; undefined: nothing. */
  get trouble(): string | undefined {
    const failure = this.#delivery.failure;
    const waiting = failure && `${this.pending} records wait to be written: ${failure.replace(/[^.]$/, '$&.')}`;
    const sentences = [waiting, this.#diskTrouble, this.#lost.trouble].filter((one) => one !== undefined);
    return sentences.length === 0 ? undefined : sentences.join(' ');
  }

  /** Resolves when the database has everything, or when the time is up. @returns whether it has. */
  async flush(timeoutMs: number): Promise<boolean> {
    if (this.#isIdle()) return true;
    this.#isHurried = true;
    this.#wake?.();
    this.#delivery.hurry();
    await within(timeoutMs, new Promise<void>((resolve) => this.#emptied.push(resolve)));
    this.#isHurried = false;
    return this.#isIdle();
  }

  /** Writes what waits, for at most so long. What is left then stays on the disk, and the next start writes it. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    const isEmpty = await this.flush(timeoutMs);
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#stop.abort();
    this.#wake?.();
    // A statement that is under way may take its time; it is not waited for, since it may as well be sent again.
    if (isEmpty) await this.#loop;
    this.#stopWatching();
    const left = this.pending;
    const lost = (await within(CLOSE_MS_MAX, this.#spool.close())) ?? left;
    await within(CLOSE_MS_MAX, this.#folders.close());
    this.#lost.add('stopping', lost);
    if (left > lost) this.logger.warn({ records: left - lost, folder: this.#root }, 'records wait for the next start');
    this.#lost.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      await this.#gather();
      if (this.#isClosed) return;
      this.#isDelivering = true;
      try {
        await this.#deliverOldest();
      } catch (error) {
        // Nothing here is meant to fail; if it does, the next turn is another attempt, and not a dead loop.
        this.logger.error({ error }, 'records could not be read');
        await this.#wait(this.settings.recordBatchMs);
      } finally {
        this.#isDelivering = false;
      }
      if (this.#isIdle()) for (const resolve of this.#emptied.splice(0)) resolve();
    }
  }

  /** Waits until there is a batch's worth, or something for `recordBatchMs`. */
  async #gather(): Promise<void> {
    while (this.#spool.records === 0 && !this.#isClosed) await this.#wait(undefined);
    const isEnough = () => this.#isHurried || this.#isClosed || this.#spool.records >= BATCH_ROWS_MAX;
    if (!isEnough()) await this.#wait(this.settings.recordBatchMs);
  }

  async #wait(ms: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (ms !== undefined) timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  async #deliverOldest(): Promise<void> {
    const segment = await this.#spool.oldest();
    // Never expected here; but if it happened at once again, nothing else would have its turn.
    if (segment === undefined) return new Promise((resolve) => setImmediate(resolve));
    this.#isInherited = segment.isInherited;
    const isWritten = await this.#delivery.deliver(await this.#rowsOf(segment));
    if (!isWritten) return;
    await this.#spool.remove(segment);
    if (this.#spool.records === 0) this.#unwritten.clear();
  }

  /** They wait no more. Those of another gateway were never counted here. */
  #settle(part: readonly LinedRow[]): void {
    if (!this.#isInherited) for (const { row } of part) this.#unwritten.remove(row);
  }

  async #rowsOf(segment: Segment): Promise<readonly LinedRow[]> {
    let lines: readonly string[];
    try {
      lines = await segment.lines();
    } catch (error) {
      this.logger.error({ error }, 'a file of records can not be read, and is left out');
      this.#lost.add('unreadable', segment.records);
      return [];
    }
    const rows = lines.flatMap((line) => {
      const row = rowOfLine(line);
      return row === undefined ? [] : [{ line, row }];
    });
    const broken = lines.length - rows.length;
    // The last line of a gateway that was killed may be half of one: its request had no end yet that anybody saw written.
    const torn = segment.isInherited && broken > 0 && rowOfLine(lines.at(-1)!) === undefined ? 1 : 0;
    this.#lost.add('unreadable', broken - torn);
    return rows;
  }

  /** Kept beside the spool as far as it goes: the row may be worth a look, and must not hold up the others. */
  async #refuse(refused: LinedRow, error: unknown): Promise<void> {
    const { line } = refused;
    this.#settle([refused]);
    this.#lost.add('refused', 1);
    if (performance.now() - this.#refusalToldMs > TELL_MS) {
      this.#refusalToldMs = performance.now();
      this.logger.error({ error: (error as Error).message, folder: this.#root }, 'the database refuses a record');
    }
    const file = join(this.#root, 'refused.jsonl');
    try {
      const bytes = await stat(file).then(
        ({ size }) => size,
        () => 0,
      );
      if (bytes + line.length < REFUSED_BYTES_MAX) await appendFile(file, `${line}\n`, { mode: 0o600 });
    } catch {
      // Counted and logged; there is no more to do.
    }
  }

  async #adopt(): Promise<void> {
    try {
      const found = await this.#folders.adopt();
      for (const { path, bytes } of found) this.#spool.inherit(path, bytes);
      if (found.length > 0)
        this.logger.info({ files: found.length }, 'records that a gateway before left are written now');
      if (found.length > 0) this.#wake?.();
    } catch (error) {
      if (this.#diskTrouble === undefined)
        this.logger.warn({ error }, 'spools of other gateways can not be looked through');
    }
  }

  async #doChores(): Promise<void> {
    const today = dayOf(Date.now());
    const days = Array.from({ length: DAYS_AHEAD + 1 }, (_, ahead) => dayAfter(today, ahead));
    try {
      await this.#table.makeDays(days);
      if (!(await this.#table.takeChore('prune'))) return;
      // The earlier of two clocks: one that is a year ahead must not drop a year.
      const [earlier] = [today, await this.#table.today()].sort();
      const dropped = await this.#table.prune(dayAfter(earlier!, -this.settings.retentionDays));
      if (dropped > 0) this.logger.info({ days: dropped }, 'days of records were dropped (retentionDays)');
    } catch (error) {
      this.logger.warn({ error: (error as Error).message }, 'old records could not be dropped; tried again in an hour');
    }
  }

  #noticeDisk(failure: Error | undefined): void {
    if (failure === undefined) {
      this.#diskTrouble = undefined;
      this.logger.info({ folder: this.#root }, 'records wait on the disk again');
      return;
    }
    this.#diskTrouble = `Records wait in memory alone, since ${this.#root} can not be written (${failure.message}).`;
    this.logger.warn(this.#diskTrouble);
  }

  #isIdle(): boolean {
    return this.#spool.records === 0 && !this.#isDelivering;
  }

  #every(ms: number, work: () => Promise<void>): void {
    const timer = setInterval(() => void work().catch(() => undefined), ms);
    timer.unref();
    this.#timers.push(timer);
  }
}

/** @returns what `work` gives, or undefined if that takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
