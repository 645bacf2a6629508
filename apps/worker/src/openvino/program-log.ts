import type { Logger } from '@millrace/runtime';

const LINE_CHARACTERS_MAX = 2_000;
/** A program that writes more in a second is broken, and its log would only bury ours. */
const LINES_PER_SECOND_MAX = 50;

/**
 * Puts what a program writes to standard error into our log, line by line, and remembers its last complaint.
 *
 * What is held is at most one line of `LINE_CHARACTERS_MAX`.
 */
export class ProgramLog {
  #held = '';
  #skipping = false;
  #second = 0;
  #lines = 0;
  #dropped = 0;
  #complaint: string | undefined;
  #lastLine: string | undefined;

  constructor(
    private readonly logger: Logger,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** The last line that began with ERROR, without that word. */
  get complaint(): string | undefined {
    return this.#complaint;
  }

  /** The last line of all. */
  get lastLine(): string | undefined {
    return this.#lastLine;
  }

  push(text: string): void {
    const lines = (this.#held + text).split('\n');
    this.#held = lines.pop()!;
    for (const line of lines) {
      if (!this.#skipping) this.#line(line);
      this.#skipping = false;
    }
    if (this.#held.length <= LINE_CHARACTERS_MAX) return;
    // The rest of such a line is not worth the memory.
    if (!this.#skipping) this.#line(this.#held);
    this.#skipping = true;
    this.#held = '';
  }

  /** No more comes. */
  end(): void {
    if (this.#held !== '' && !this.#skipping) this.#line(this.#held);
    this.#held = '';
    this.#tellDropped();
  }

  #line(whole: string): void {
    const line = whole.slice(0, LINE_CHARACTERS_MAX).trimEnd();
    if (line === '') return;
    this.#lastLine = line;
    const [, level = '', rest = line] = /^(ERROR|WARNING|INFO|DEBUG) (.*)$/.exec(line) ?? [];
    if (level === 'ERROR') this.#complaint = rest;
    if (!this.#mayWrite()) return;
    const text = `OpenVINO: ${rest}`;
    if (level === 'ERROR') this.logger.error(text);
    else if (level === 'INFO') this.logger.info(text);
    else if (level === 'DEBUG') this.logger.debug(text);
    // Lines without a level are the library's own, or a trace that the program foresaw nothing of.
    else this.logger.warn(text);
  }

  #mayWrite(): boolean {
    const second = Math.floor(this.nowMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
      this.#tellDropped();
    }
    if (++this.#lines <= LINES_PER_SECOND_MAX) return true;
    this.#dropped++;
    return false;
  }

  #tellDropped(): void {
    if (this.#dropped > 0) this.logger.warn(`OpenVINO: ${this.#dropped} more lines were left out.`);
    this.#dropped = 0;
  }
}
