import { barOf } from '../../bar.js';
import type { ProgressOutput } from '../../models/progress-line.js';
import { cutText } from '../../plain-text.js';

/** On a terminal the line is drawn over so often; elsewhere each is a line of its own. */
const DRAW_MS = 200;
const SAY_MS = 10_000;

export interface LoadProgress {
  readonly title: string;
  /** 0 to 1. */
  readonly part: number;
  readonly answered: number;
  readonly failed: number;
  /** Since the first request that counts. */
  readonly seconds: number;
}

/** How far a measurement is: a bar that moves on a terminal, and elsewhere a line now and then. */
export class ProgressBar implements Disposable {
  #saidMs: number;
  #isDrawn = false;

  constructor(
    private readonly output: ProgressOutput & { columns?(): number | undefined },
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#saidMs = nowMs();
  }

  /** A new measurement begins. */
  begin(title: string): void {
    this.#saidMs = this.nowMs();
    this.#say(`measuring ${title} …`);
  }

  readonly show = (progress: LoadProgress): void => {
    const nowMs = this.nowMs();
    if (nowMs - this.#saidMs < (this.output.isTerminal ? DRAW_MS : SAY_MS)) return;
    this.#saidMs = nowMs;
    const { title, part, answered, failed, seconds } = progress;
    const perSecond = answered / Math.max(seconds, 0.001);
    const percent = `${String(Math.floor(Math.min(part, 1) * 100)).padStart(3)} %`;
    const failures = failed === 0 ? '' : `  ${failed} failed`;
    const figures = `  ${percent}  ${answered} answered  ${perSecond.toFixed(1)}/s${failures}`;
    const bar = this.output.isTerminal ? `  ${barOf(part)}` : '';
    const fits = title.length + bar.length + figures.length <= this.#columns;
    this.#say(`${title}${fits ? bar : ''}${figures}`);
  };

  /** A line that is wider than the terminal goes on in the next, and can't be drawn over. */
  get #columns(): number {
    return this.output.isTerminal
      ? Math.max(1, (this.output.columns?.() || Number.POSITIVE_INFINITY) - 1)
      : Number.POSITIVE_INFINITY;
  }

  #say(text: string): void {
    this.#isDrawn = this.output.isTerminal;
    this.output.write(this.output.isTerminal ? `\r\x1b[K${cutText(text, this.#columns)}` : `${text}\n`);
  }

  /** Leaves a clean line behind. */
  [Symbol.dispose](): void {
    if (this.#isDrawn) this.output.write('\r\x1b[K');
    this.#isDrawn = false;
  }
}
