import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/runtime';
import type { SqlDatabase } from './sql-database.js';
import { takeChore } from './take-chore.js';

export interface ChorePace {
  /** Gateways that share a database take turns by it. */
  readonly name: string;
  readonly everyMs: number;
  /** For so long it falls to no other: a little less than `everyMs`, so that one of the gateways finds it due. */
  readonly minutes: number;
}

/**
 * What one gateway of all does, from its start and then every so often.
 *
 * Ownership: it works by itself from `start` on, until `close`, which waits for what is being done.
 */
export class RepeatedChore {
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Whether the last one failed, and that was told of. */
  #told = false;

  /** @param telling `failed` says what comes of it, to whoever reads the log. */
  constructor(
    private readonly database: SqlDatabase,
    private readonly pace: ChorePace,
    private readonly work: (signal: AbortSignal) => Promise<void>,
    private readonly telling: { readonly logger: Logger; readonly failed: string },
  ) {}

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { name, everyMs, minutes } = this.pace;
    while (!signal.aborted) {
      try {
        if (await takeChore(this.database, name, minutes)) {
          await this.work(signal);
          this.#told = false;
        }
      } catch (error) {
        if (!signal.aborted) this.#tell(error);
      }
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Once for all times that it fails in a row: what does not go today may not go tomorrow either. */
  #tell(error: unknown): void {
    const { logger, failed } = this.telling;
    logger[this.#told ? 'debug' : 'warn']({ error }, failed);
    this.#told = true;
  }
}
