import { InferenceError } from '@millrace/contracts';

/**
 * Everything that ends a call before its time, as one signal: whoever asked leaves, the deadline passes, the engine closes.
 *
 * Ownership: whoever opened it closes it, and then nothing of it is left behind.
 */
export class CallScope {
  readonly deadlineAtMs: number;
  readonly #leaving = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(
    deadlineMs: number,
    private readonly caller: AbortSignal,
    private readonly open: Set<CallScope>,
  ) {
    this.deadlineAtMs = performance.now() + deadlineMs;
    this.#timer = setTimeout(() => this.leave(tooLate(deadlineMs)), deadlineMs);
    caller.addEventListener('abort', this.#callerLeft, { once: true });
    if (caller.aborted) this.#callerLeft();
    open.add(this);
  }

  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  leave(reason: unknown): void {
    this.#leaving.abort(reason);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.caller.removeEventListener('abort', this.#callerLeft);
    this.open.delete(this);
  }

  readonly #callerLeft = (): void => this.leave(this.caller.reason);
}

function tooLate(deadlineMs: number): InferenceError {
  const allowed = deadlineMs.toLocaleString('en-US');
  return new InferenceError(
    'deadline_exceeded',
    `The answer was not complete within ${allowed} ms. Ask for fewer tokens, or raise \`requestTimeoutMs\`.`,
  );
}
