import { type FileHandle, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '@millrace/contracts';
import { type Logger, randomHex } from '@millrace/runtime';
import type { RequestRecord } from '../vocabulary.js';
import { runManifest } from './run-manifest.js';
import { StrangerAllowance } from './stranger-allowance.js';

/** Lines are gathered so long, then written together. */
const APPEND_MS = 100;
/** Of lines that wait for a slow disk; further ones are left out and counted. */
const MEMORY_BYTES_MAX = 8 * 1024 * 1024;
/** Only such folders are ever removed: whatever else lies in `runsFolder` is somebody's. */
const RUN_ID = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{6}$/;

/**
 * `runs/<run>/interactions.jsonl`, a line for each request, and `manifest.json` beside it: for whoever evaluates a run afterwards,
 * without a database. Nothing depends on it: what can't be written is left out, and said once.
 *
 * Ownership: one folder, made by `open`. Concurrency: one append at a time; a killed process loses what came in the last `APPEND_MS`.
 */
export class RunFile {
  readonly folder: string;
  readonly #runId: string;
  readonly #startedAt = new Date();
  #lines: string[] = [];
  #lineBytes = 0;
  #bytes = 0;
  #leftOut = 0;
  #file: FileHandle | undefined;
  #failed = false;
  readonly #strangers = new StrangerAllowance();
  #timer: NodeJS.Timeout | undefined;
  #appending: Promise<void> = Promise.resolve();

  constructor(
    private readonly runsFolder: string,
    private readonly settings: Settings,
    private readonly logger: Logger,
  ) {
    const moment = this.#startedAt.toISOString().slice(0, 19).replaceAll(':', '-');
    this.#runId = `${moment}Z-${randomHex(3)}`;
    this.folder = join(runsFolder, this.#runId);
  }

  /** Makes the folder and its manifest, and removes the oldest runs beyond `runsMax`. Never fails. */
  async open(): Promise<void> {
    try {
      await mkdir(this.folder, { recursive: true });
      const manifest = runManifest(this.#runId, this.#startedAt, this.settings);
      await writeFile(join(this.folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
      // Contents may be in it.
      this.#file = await open(join(this.folder, 'interactions.jsonl'), 'a', 0o600);
      await this.#removeOldest();
      this.logger.info({ folder: this.folder }, 'requests of this run are written there');
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** A listener of the `RequestLog`. Neither waits nor throws. */
  readonly observe = (record: RequestRecord): void => {
    if (this.#failed) return;
    try {
      if (this.#strangers.take(record, performance.now())) this.#add(`${JSON.stringify(interactionOf(record))}\n`);
      else this.#leaveOut('many were refused who had no key');
    } catch (error) {
      this.#leaveOut(`it can not be written as JSON: ${(error as Error).message}`);
    }
  };

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#appending;
    await this.#append();
    await this.#file?.close().catch(() => undefined);
    if (this.#leftOut > 0) this.logger.warn({ requests: this.#leftOut }, 'requests were left out of the run');
  }

  #add(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#bytes + bytes > this.settings.runBytesMax) this.#leaveOut('the run is as large as runBytesMax');
    else if (this.#lineBytes + bytes > MEMORY_BYTES_MAX) this.#leaveOut('the disk is too slow');
    else {
      this.#lines.push(line);
      this.#lineBytes += bytes;
      this.#bytes += bytes;
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#appending = this.#appending.then(() => this.#append());
      }, APPEND_MS);
    }
  }

  async #append(): Promise<void> {
    if (this.#file === undefined || this.#lines.length === 0) return;
    const text = this.#lines.join('');
    const bytes = this.#lineBytes;
    this.#lines = [];
    try {
      await this.#file.appendFile(text);
    } catch (error) {
      this.#giveUp(error);
    } finally {
      this.#lineBytes -= bytes;
    }
  }

  #leaveOut(why: string): void {
    if (this.#leftOut++ === 0) this.logger.warn({ why }, 'requests are left out of the run');
  }

  #giveUp(error: unknown): void {
    this.#failed = true;
    this.#lines = [];
    this.logger.warn({ folder: this.folder, error: (error as Error).message }, 'this run can not be written down');
  }

  /** Names begin with the time, so their order is that of the runs. */
  async #removeOldest(): Promise<void> {
    const runs = (await readdir(this.runsFolder)).filter((name) => RUN_ID.test(name)).sort();
    for (const name of runs.slice(0, Math.max(0, runs.length - this.settings.runsMax))) {
      if (name !== this.#runId) await rm(join(this.runsFolder, name), { recursive: true, force: true });
    }
  }
}

/** A request as those expect it who evaluate runs. Milliseconds to the microsecond. */
function interactionOf(record: RequestRecord): Readonly<Record<string, unknown>> {
  const { contents, promptTokens, completionTokens } = record;
  return {
    time: new Date(record.arrivedAtMs).toISOString(),
    record_id: record.recordId,
    request_id: record.requestId,
    trace_id: record.traceId ?? null,
    endpoint: record.endpoint,
    model: record.model ?? null,
    key: record.keyId ?? null,
    key_name: record.keyName ?? null,
    status: record.status,
    outcome: record.outcome,
    error_code: record.code ?? null,
    stream: record.stream,
    latency_ms: toMicroseconds(record.totalMs),
    first_token_ms: toMicroseconds(record.firstTokenMs),
    per_token_ms: toMicroseconds(record.perTokenMs),
    waited_ms: toMicroseconds(record.waitedMs),
    overhead_ms: toMicroseconds(record.overheadMs),
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
      cached_tokens: record.cachedTokens,
      reasoning_tokens: record.reasoningTokens,
    },
    worker: record.worker ?? null,
    attempts: record.attempts,
    cached: record.cached,
    continued: record.continued,
    parameters: record.parameters,
    ...(contents && { question: contents.question, answer: contents.answer, contents_cut: contents.cut }),
  };
}

function toMicroseconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 1_000) / 1_000;
}
