import pc from 'picocolors';
import { type ScreenText, screenLines } from './screen.js';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const LEAVING_KEYS = ['q', 'Q', '\x03'];
/** Where the terminal does not tell. */
const USUAL = { columns: 100, rows: 40 };

/**
 * A screen of its own on the terminal: what was there before is there again afterwards.
 *
 * Ownership: it holds the terminal, and the keys, until it is disposed or the process ends, whatever ends it.
 */
export class TerminalScreen implements Disposable {
  readonly #leave = () => this.write(LEAVE);
  readonly #onKey = (key: Buffer) => {
    // Keys come one by one, and Ctrl-C is one of them here.
    if (LEAVING_KEYS.includes(key.toString('latin1'))) this.quit();
  };
  readonly #onResize = () => this.#draw();
  #shown: ScreenText | undefined;

  constructor(
    private readonly write: (text: string) => void,
    private readonly quit: () => void,
  ) {
    this.write(ENTER);
    process.once('exit', this.#leave);
    process.stdout.on('resize', this.#onResize);
    if (process.stdin.isTTY) process.stdin.setRawMode(true).on('data', this.#onKey).resume();
  }

  show(text: ScreenText): void {
    this.#shown = text;
    this.#draw();
  }

  #draw(): void {
    if (this.#shown === undefined) return;
    const { columns = USUAL.columns, rows = USUAL.rows } = process.stdout;
    const lines = screenLines(this.#shown, { columns, rows: rows - 1 });
    const drawn = lines.map((line) => `${isHeading(line) ? pc.bold(line) : line}\x1b[K`);
    // Drawn over, and only then is the rest wiped: a screen that is wiped first flickers.
    this.write(`\x1b[H${drawn.join('\n')}\n\x1b[J`);
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#leave);
    process.stdout.off('resize', this.#onResize);
    if (process.stdin.isTTY) process.stdin.off('data', this.#onKey).setRawMode(false).pause();
    this.#leave();
  }
}

function isHeading(line: string): boolean {
  return /^(Millrace|LATENCY|WORKER|ENGINE|MODEL)\b/.test(line);
}
