import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { PgliteNews, PgliteOrder, PgliteStart } from './pglite-wire.js';

/** Of what the process writes while it dies, for the log. */
const LAST_WORDS_CHARACTERS_MAX = 4_000;
/** What JavaScript may hold there; the database's own memory is beside it. */
const HEAP_MIB_MAX = 256;

const FLAGS = [
  // Of what Node calls experimental we use SQLite's lock.
  '--disable-warning=ExperimentalWarning',
  // Without V8's second compiler, whose work on functions as large as Postgres's took some 500 MB for minutes (measured: peak
  // 178 MB instead of 730, and more inserts per second from the first on; long scans take half as long again).
  '--liftoff-only',
];

export interface ChildEnding {
  /** What was wrong, if it said so before it ended. */
  readonly sentence: string | undefined;
  readonly how: string;
  readonly lastWords: string;
}

/** One process of the embedded database, until it ends. */
export class PgliteChild {
  /** Resolves when it serves; never, when it ends before. */
  readonly ready: Promise<void>;
  readonly ended: Promise<ChildEnding>;
  readonly #process: ChildProcess;
  #alive: (() => void) | undefined;
  #sentence: string | undefined;
  #lastWords = '';

  constructor(entry: URL, start: PgliteStart) {
    this.#process = fork(fileURLToPath(entry), [JSON.stringify(start)], {
      // Nothing of the environment: it needs no keys.
      env: {},
      execArgv: [`--max-old-space-size=${HEAP_MIB_MAX}`, ...FLAGS],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS_MAX);
    });
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#process.on('message', (news: PgliteNews) => {
      if (news.kind === 'ready') ready.resolve();
      else if (news.kind === 'alive') this.#alive?.();
      else this.#sentence = news.sentence;
    });
    this.ended = this.#ending();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Whether its event loop still turns, which it does not while a statement is under way. */
  async answersWithin(timeoutMs: number): Promise<boolean> {
    const answered = new Promise<boolean>((resolve) => {
      this.#alive = () => resolve(true);
    });
    this.#order({ kind: 'ping' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const isAlive = await Promise.race([answered, late, this.ended.then(() => true)]);
    clearTimeout(timer);
    return isAlive;
  }

  /** Lets it write what it has, and ends it by force after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    this.#order({ kind: 'end' });
    const force = setTimeout(() => this.kill(), graceMs);
    await this.ended;
    clearTimeout(force);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** What can't be sent is told by its end as well. */
  #order(order: PgliteOrder): void {
    if (this.#process.connected) this.#process.send(order, () => undefined);
  }

  async #ending(): Promise<ChildEnding> {
    try {
      // "close" and not "exit": by then everything that it wrote is here.
      const [code, signal] = (await once(this.#process, 'close')) as [number | null, NodeJS.Signals | null];
      const how = signal === null ? `with exit status ${code}` : `by signal ${signal}`;
      return { sentence: this.#sentence, how, lastWords: this.#lastWords };
    } catch (error) {
      return { sentence: undefined, how: `before it began: ${(error as Error).message}`, lastWords: '' };
    }
  }
}
