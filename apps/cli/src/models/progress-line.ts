import type { Progress } from '@millrace/storage';
import { barOf } from '../bar.js';

const WORDS: Readonly<Record<Progress['phase'], string>> = {
  waiting: 'Another process is at this model; waiting for it',
  fetching: 'Fetching',
  reading: 'Reading',
  sending: 'Sending',
};
/** On a terminal a line is drawn over so often; elsewhere each is a line of its own. */
const DRAW_MS = 100;
const SAY_MS = 10_000;
const MEGABYTE = 1_000_000;
/** What takes less time is not worth a line. */
const PATIENCE_MS = 300;

export interface ProgressOutput {
  write(text: string): void;
  readonly isTerminal: boolean;
}

/** Tells how far something is: a bar that moves on a terminal, and elsewhere a line now and then, which a log can hold. */
export class ProgressLine implements Disposable {
  readonly #startedMs: number;
  #saidMs: number;
  #phase: Progress['phase'] | undefined;
  #phaseStartedMs = 0;
  #phaseStartedBytes = 0;
  #isDrawn = false;

  constructor(
    private readonly output: ProgressOutput,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#startedMs = nowMs();
    this.#saidMs = this.#startedMs;
  }

  readonly show = (progress: Progress): void => {
    const nowMs = this.nowMs();
    if (progress.phase !== this.#phase) {
      this.#phase = progress.phase;
      this.#phaseStartedMs = nowMs;
      this.#phaseStartedBytes = progress.bytes;
      if (progress.phase === 'waiting') this.#say(`${WORDS.waiting} …`, nowMs);
    }
    if (progress.phase === 'waiting') return;
    const { isTerminal } = this.output;
    const isDue = nowMs - this.#saidMs >= (isTerminal ? DRAW_MS : SAY_MS);
    if (!isDue || nowMs - this.#startedMs < PATIENCE_MS) return;
    this.#say(this.#text(progress, nowMs), nowMs);
  };

  #say(text: string, nowMs: number): void {
    this.#saidMs = nowMs;
    this.#isDrawn = this.output.isTerminal;
    this.output.write(this.output.isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
  }

  #text({ phase, bytes, bytesAll }: Progress, nowMs: number): string {
    const seconds = (nowMs - this.#phaseStartedMs) / 1_000;
    const rate = seconds < 1 ? 0 : (bytes - this.#phaseStartedBytes) / seconds;
    const speed = rate > 0 ? `  ${megabytes(rate)} MB/s` : '';
    if (bytesAll === undefined || bytesAll === 0) return `${WORDS[phase]}  ${megabytes(bytes)} MB${speed}`;
    const part = Math.min(1, bytes / bytesAll);
    const bar = this.output.isTerminal ? `  ${barOf(part)}` : '';
    const left = rate > 0 ? `  ${durationText((bytesAll - bytes) / rate)} left` : '';
    const percent = `${String(Math.floor(part * 100)).padStart(3)} %`;
    return `${WORDS[phase]}${bar}  ${percent}  ${megabytes(bytes)} of ${megabytes(bytesAll)} MB${speed}${left}`;
  }

  /** Leaves a clean line behind. */
  [Symbol.dispose](): void {
    if (this.#isDrawn) this.output.write('\r\x1b[K');
    this.#isDrawn = false;
  }
}

export function megabytes(bytes: number): string {
  const digits = bytes < 10 * MEGABYTE ? 1 : 0;
  return (bytes / MEGABYTE).toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5_400) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.ceil(seconds / 3_600)} h`;
}
