import { InferenceError, type TimeLimits } from '@millrace/contracts';

/** How long a call may take, and the setting that says how long one may at most. */
export interface CallLimit {
  readonly setting: keyof TimeLimits;
  readonly ms: number;
}

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
    limit: CallLimit,
    private readonly caller: AbortSignal,
    private readonly open: Set<CallScope>,
  ) {
    this.deadlineAtMs = performance.now() + limit.ms;
    this.#timer = setTimeout(() => this.leave(tooLate(limit)), limit.ms);
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

function tooLate({ setting, ms }: CallLimit): InferenceError {
  const allowed = ms.toLocaleString('en-US');
  return new InferenceError(
    'deadline_exceeded',
    `The answer was not complete within ${allowed} ms. Ask for fewer tokens, or raise \`${setting}\`.`,
  );
}
