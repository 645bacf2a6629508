import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import type { LineOutcome } from './line-outcome.js';

/** What came of lines is kept at the latest after this time, or with so many, or so much: more of it would be computed again after a kill. */
const KEEP_MS = 500;
const LINES_MAX = 32;
const CHARACTERS_MAX = 1024 * 1024;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;

/**
 * Outcomes of lines on their way to the database, in few statements. While that is away they are held, and whoever brings more waits:
 * so no more lines are begun than can be kept.
 *
 * Concurrency: one statement at a time. What fails is sent again, which changes nothing if it had been carried out.
 */
export class OutcomeBuffer {
  #outcomes: LineOutcome[] = [];
  #characters = 0;
  #timer: NodeJS.Timeout | undefined;
  #keeping: Promise<void> | undefined;

  /** @param signal ends what is tried again; what was not kept by then is lost, and computed again. */
  constructor(
    private readonly keep: (outcomes: readonly LineOutcome[]) => Promise<void>,
    private readonly signal: AbortSignal,
  ) {}

  /** Resolves when there is room for more. Rejects when what was brought can not be kept. */
  async add(outcome: LineOutcome): Promise<void> {
    this.#outcomes.push(outcome);
    this.#characters += outcome.text.length;
    if (this.#outcomes.length >= LINES_MAX || this.#characters >= CHARACTERS_MAX) return this.flush();
    this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), KEEP_MS);
  }

  /** Everything that was brought is kept. */
  async flush(): Promise<void> {
    while (this.#keeping !== undefined) await this.#keeping;
    if (this.#outcomes.length === 0) return;
    this.#keeping = this.#keep().finally(() => {
      this.#keeping = undefined;
    });
    await this.#keeping;
  }

  async #keep(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    this.#characters = 0;
    for (let waitMs = RETRY_MS_MIN; ; waitMs = Math.min(2 * waitMs, RETRY_MS_MAX)) {
      try {
        return await this.keep(outcomes);
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable)) throw error;
        await sleep(waitMs, undefined, { signal: this.signal });
      }
    }
  }
}
