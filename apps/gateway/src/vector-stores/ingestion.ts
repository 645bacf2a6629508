import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, InferenceError } from '@millrace/contracts';
import { counter, gauge, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import { VectorSizeConflict } from '../stores/vector-store.js';
import type { Caller } from '../vocabulary.js';
import { DocumentRefused } from './documents/document-wire.js';
import { IngestEntry, IngestFailed, type IngestLimits, type IngestParts } from './ingest-entry.js';
import type { StoreOwner } from './store-rows.js';
import { LEASE_MS } from './vector-store-tables.js';
import { GaveWay, Superseded, type TakenEntry } from './work-table.js';

export interface IngestionLimits extends IngestLimits {
  /** Files that are read at a time. */
  readonly vectorFilesAtOnceMax: number;
  /** From when it is attached to when it must have been read, tries and waits together. */
  readonly vectorFileTimeoutMs: number;
}

/** Whose account it is on. Undefined: the key is gone, or no longer valid. */
export type FindCaller = (owner: StoreOwner) => Promise<Caller | undefined>;

const EXTEND_EVERY_MS = LEASE_MS / 4;
/** What another gateway left is noticed so much later; what comes by this one at once. */
const LOOK_EVERY_MS = 5_000;
const TIDY_EVERY_MS = 60_000;
/** After a look that failed, and between the tries of one file: growing, from the least on. */
const DELAY_MS_MIN = 1_000;
const DELAY_MS_MAX = 60_000;
/** For a file that gave way to others: they are taken meanwhile. */
const GIVES_WAY_MS = 1_000;
/** So often a file may be being read when its gateway is killed; then it is taken to be why. */
const ATTEMPTS_MAX = 5;

/** Bounded by the stores' own times. */
const TO_THE_END = new AbortController().signal;

interface Running {
  readonly work: Promise<void>;
  /** Never throws. */
  readonly sayAlive: () => Promise<void>;
}

/** Of what a model or its worker says, what is so however often it is asked. */
const FINAL: ReadonlySet<ErrorCode> = new Set([
  'invalid_request',
  'unsupported_parameter',
  'embeddings_not_supported',
  'model_not_found',
  'model_not_allowed',
  'request_too_large',
]);

/**
 * Reads the files of vector stores, a few at a time, and removes what is left of those that are gone.
 *
 * Ownership: runs by itself from `start` until `close`, which lets go of what it has in hand: another goes on with it at once.
 * Concurrency: any number of gateways do this on one database; an entry is taken by one of them, for as long as it says that it is at it.
 */
export class Ingestion {
  readonly #ingest: IngestEntry;
  readonly #closing = new AbortController();
  readonly #running = new Map<string, Running>();
  readonly #finished = counter(MEASURED.vectorFiles);
  readonly #endGauge = gauge(MEASURED.vectorFilesRunning, () => [{ value: this.#running.size }]);
  #loop: Promise<void> = Promise.resolve();
  #woken = Promise.withResolvers<void>();
  #tidiedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly parts: IngestParts,
    private readonly findCaller: FindCaller,
    private readonly limits: IngestionLimits,
    private readonly logger: Logger,
  ) {
    this.#ingest = new IngestEntry(parts, limits);
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** There is something to do. */
  wake(): void {
    this.#woken.resolve();
  }

  async close(): Promise<void> {
    this.#closing.abort(new InferenceError('shutting_down', 'This gateway stops. Another goes on with the file.'));
    await this.#loop;
    await Promise.all([...this.#running.values()].map(({ work }) => work));
    this.#endGauge();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let delayMs = DELAY_MS_MIN;
    while (!signal.aborted) {
      this.#woken = Promise.withResolvers<void>();
      try {
        await this.#look();
        delayMs = DELAY_MS_MIN;
        await this.#awaken(LOOK_EVERY_MS);
      } catch (error) {
        // A database that is away is told of by `/readyz`, and there is a next time.
        this.logger.debug({ error }, 'files of vector stores could not be looked for');
        await sleep(delayMs, undefined, { signal }).catch(() => undefined);
        delayMs = Math.min(2 * delayMs, DELAY_MS_MAX);
      }
    }
  }

  async #awaken(afterMs: number): Promise<void> {
    const waiting = new AbortController();
    const either = AbortSignal.any([waiting.signal, this.#closing.signal]);
    await Promise.race([this.#woken.promise, sleep(afterMs, undefined, { signal: either }).catch(() => undefined)]);
    waiting.abort();
  }

  async #look(): Promise<void> {
    if (performance.now() - this.#tidiedAtMs > TIDY_EVERY_MS) {
      await this.parts.stores.tidy();
      this.#tidiedAtMs = performance.now();
    }
    // Whoever woke us may have cancelled or deleted what is in hand.
    await Promise.all([...this.#running.values()].map(({ sayAlive }) => sayAlive()));
    const free = this.limits.vectorFilesAtOnceMax - this.#running.size;
    if (free <= 0) return;
    for (const entry of await this.parts.work.take(free)) {
      const stopping = new AbortController();
      const sayAlive = () => this.#sayAlive(entry, stopping);
      const work = this.#handle(entry, stopping.signal, sayAlive).finally(() => {
        this.#running.delete(entry.id);
        this.wake();
      });
      this.#running.set(entry.id, { work, sayAlive });
    }
  }

  /** Never throws: a database that does not answer is asked again, and until the lease is over it is nobody else's. */
  async #sayAlive(entry: TakenEntry, stopping: AbortController): Promise<void> {
    try {
      await this.parts.work.extend(entry);
    } catch (error) {
      if (error instanceof Superseded) stopping.abort(superseded());
    }
  }

  /** Never throws. */
  async #handle(entry: TakenEntry, stopping: AbortSignal, sayAlive: () => Promise<void>): Promise<void> {
    const signal = AbortSignal.any([stopping, this.#closing.signal]);
    const beating = setInterval(sayAlive, EXTEND_EVERY_MS);
    try {
      if (entry.status === 'in_progress') await this.#read(entry, signal);
      else await this.#clean(entry, signal);
    } catch (error) {
      if (entry.status === 'in_progress') await this.#removeLate(entry);
      await this.#putOff(entry, error, stopping.aborted).catch((failure) => {
        // Its lease ends, and then it is taken again.
        this.logger.debug({ error: failure, entry: entry.id }, 'a file of a vector store could not be put off');
      });
    } finally {
      clearInterval(beating);
    }
  }

  /**
   * Never throws. Who stood still for longer than its lease may have written after somebody else had removed what there was, and then nobody
   * looks for remains any more. What is not wanted now never will be: ids are not used again.
   */
  async #removeLate(entry: TakenEntry): Promise<void> {
    const { work, places, chunks } = this.parts;
    const { id, store_id: storeId } = entry;
    try {
      if (await work.isWanted(id)) return;
      const dimension = this.#ingest.dimensionOf(entry);
      if (dimension !== undefined) await places.remove({ id, storeId, dimension }, TO_THE_END);
      await chunks.removeAll(id);
    } catch (error) {
      this.logger.debug({ error, entry: id }, 'what a file left in its vector store could not be looked for');
    }
  }

  async #read(entry: TakenEntry, signal: AbortSignal): Promise<void> {
    try {
      this.#refuseUnlucky(entry);
      const caller = await this.findCaller(entry.key_id === '' ? undefined : entry.key_id);
      if (caller === undefined)
        throw new IngestFailed('server_error', 'The API key that the file belongs to is no longer valid.');
      await this.#ingest.run(entry, caller, signal);
      this.#finished.add(1, { outcome: 'completed' });
    } catch (error) {
      const final = signal.aborted ? undefined : this.#finalFailure(entry, error);
      if (final === undefined) throw error;
      this.logger.info({ store: entry.store_id, file: entry.file_id, code: final.code }, 'a file was not read');
      await this.parts.work.fail(entry, final.code, final.message);
      this.#finished.add(1, { outcome: 'failed' });
    }
  }

  #refuseUnlucky({ attempts }: TakenEntry): void {
    if (attempts <= ATTEMPTS_MAX) return;
    throw new IngestFailed(
      'server_error',
      `The gateway ended ${attempts - 1} times while the file was being read, which is no longer tried. If it is not the file, attach it again.`,
    );
  }

  #finalFailure(entry: TakenEntry, error: unknown): IngestFailed | undefined {
    if (error instanceof IngestFailed) return error;
    if (error instanceof DocumentRefused) return new IngestFailed(error.code, error.message);
    if (error instanceof VectorSizeConflict) return new IngestFailed('server_error', error.message);
    if (error instanceof Superseded || error instanceof GaveWay) return undefined;
    const said = error instanceof InferenceError ? error.message : 'The server failed.';
    if (error instanceof InferenceError && FINAL.has(error.code)) return new IngestFailed('server_error', said);
    const { vectorFileTimeoutMs } = this.limits;
    if (entry.age_ms < vectorFileTimeoutMs) return undefined;
    return new IngestFailed(
      'server_error',
      `The file was not read within ${vectorFileTimeoutMs.toLocaleString('en-US')} ms (vectorFileTimeoutMs); at last: ${said}`,
    );
  }

  /** Vectors first: what is found there is shown only where there is a text. */
  async #clean(entry: TakenEntry, signal: AbortSignal): Promise<void> {
    const { id, store_id: storeId, dimension } = entry;
    if (dimension !== null) await this.parts.places.remove({ id, storeId, dimension }, signal);
    await this.parts.chunks.removeAll(id);
    await this.parts.work.cleaned(entry);
    if (entry.status === 'deleted') this.#tidiedAtMs = Number.NEGATIVE_INFINITY; // Its store may have waited for that.
  }

  async #putOff(entry: TakenEntry, error: unknown, isSuperseded: boolean): Promise<void> {
    if (error instanceof GaveWay) return this.#giveWay(entry);
    const atOnce = error instanceof Superseded || isSuperseded || this.#closing.signal.aborted;
    const asked = error instanceof InferenceError ? (error.details.retryAfterSeconds ?? 0) * 1_000 : 0;
    const grown = DELAY_MS_MIN * 2 ** Math.min(entry.delays, 6);
    const delayMs = atOnce ? 0 : Math.min(Math.max(asked, grown), DELAY_MS_MAX);
    if (!atOnce) {
      const level = error instanceof InferenceError || isForeseen(error) ? 'debug' : 'warn';
      this.logger[level](
        { error, store: entry.store_id, file: entry.file_id, delayMs },
        'a file of a vector store is put off',
      );
    }
    await this.parts.work.putOff(entry, delayMs);
    this.#wakeIn(delayMs);
  }

  async #giveWay(entry: TakenEntry): Promise<void> {
    try {
      await this.parts.work.giveWay(entry, GIVES_WAY_MS);
    } catch (error) {
      await this.parts.work.putOff(entry, 0);
      if (!(error instanceof Superseded)) throw error;
    }
    this.#wakeIn(GIVES_WAY_MS);
  }

  /** Holds nobody up who ends meanwhile. */
  #wakeIn(delayMs: number): void {
    setTimeout(() => this.wake(), delayMs).unref();
  }
}

/** A store that is away, which `/readyz` tells of. */
function isForeseen(error: unknown): boolean {
  return error instanceof Error && /Unavailable$/.test(error.name);
}

function superseded(): InferenceError {
  return new InferenceError('client_closed_request', 'The file was cancelled or deleted while it was being read.');
}
