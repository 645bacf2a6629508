import { allowedMsOf, InferenceError, type TimeLimits, timeoutSettingOf } from '@millrace/contracts';
import type { Call, Deadline } from '../vocabulary.js';

/** Ownership: whoever starts it disposes of it. */
export interface RunningDeadline extends Deadline, Disposable {
  /** From now on it is what a request of this priority has, counted from the arrival all the same. What has ended stays so. */
  changeTo(priority: number): void;
}

/** One signal for the two things that end an answer from outside: its time is up, or its client left. */
export function startDeadline(call: Call, limits: TimeLimits): RunningDeadline {
  const { caller, clientLeft, arrivedMs, deadlineMs } = call;
  let endsMs = arrivedMs;
  let timer: NodeJS.Timeout | undefined;
  const remainingMs = () => Math.max(0, Math.ceil(endsMs - performance.now()));

  // Not AbortSignal.any() with AbortSignal.timeout(): their timer cannot be stopped, and would keep the whole request
  // in memory until it fires, long after an answer of a second.
  const controller = new AbortController();
  const changeTo = (priority: number) => {
    const allowedMs = allowedMsOf({ priority, deadlineMs }, limits);
    const raise = allowedMs === deadlineMs ? ASK_FOR_MORE : `raise ${timeoutSettingOf(priority)}`;
    endsMs = arrivedMs + allowedMs;
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(deadlineExceeded(allowedMs, raise)), remainingMs());
  };
  changeTo(caller.priority);
  const onClientLeft = () => controller.abort(clientLeft.reason);
  clientLeft.addEventListener('abort', onClientLeft, { once: true });
  if (clientLeft.aborted) onClientLeft();

  return {
    signal: controller.signal,
    remainingMs,
    changeTo,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      clientLeft.removeEventListener('abort', onClientLeft);
    },
  };
}

const ASK_FOR_MORE = 'allow it more with x-millrace-deadline-ms';

function deadlineExceeded(allowedMs: number, raise: string): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    `The answer was not complete within ${allowedMs} ms. Ask for fewer tokens, or ${raise}.`,
  );
}
