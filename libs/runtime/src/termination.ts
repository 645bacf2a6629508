import { hasParent, onParentGone } from './parent-process.js';

/**
 * Some senders signal a process and then its whole group, so that one request arrives twice: `timeout` does. Nobody
 * presses Ctrl-C twice within this time.
 */
const SAME_REQUEST_MS = 100;

/**
 * Resolves when this process is asked to stop: SIGTERM, Ctrl-C, or the end of the `millrace serve` that started it.
 * A second request ends the process at once with status 130: whoever asks twice does not want to wait.
 *
 * Under `millrace serve`, SIGINT is ignored: a terminal sends Ctrl-C to every process of its group, and the order of
 * stopping (gateway first, then workers) is the parent's. A second SIGTERM is ignored too: systemd sends one to every
 * process of the unit, the parent sends its own, and a parent in a hurry sends SIGKILL.
 */
export function terminationRequested(): Promise<string> {
  const underServe = hasParent();
  const stop = new StopRequests(underServe, () => process.exit(130));
  process.on('SIGTERM', () => stop.ask('SIGTERM'));
  process.on('SIGINT', () => {
    if (!underServe) stop.ask('SIGINT');
  });
  onParentGone(() => stop.ask('the end of millrace serve'));
  return stop.first;
}

/** Tells a first request from its echo and from impatience. */
export class StopRequests {
  readonly #underServe: boolean;
  readonly #endNow: () => void;
  readonly #nowMs: () => number;
  readonly #first = Promise.withResolvers<string>();
  #firstMs: number | undefined;

  constructor(underServe: boolean, endNow: () => void, nowMs: () => number = () => performance.now()) {
    this.#underServe = underServe;
    this.#endNow = endNow;
    this.#nowMs = nowMs;
  }

  get first(): Promise<string> {
    return this.#first.promise;
  }

  ask(why: string): void {
    if (this.#firstMs === undefined) {
      this.#firstMs = this.#nowMs();
      this.#first.resolve(why);
    } else if (!this.#underServe && this.#nowMs() - this.#firstMs > SAME_REQUEST_MS) {
      this.#endNow();
    }
  }
}
