import { InferenceError } from '@millrace/contracts';
import type { Call, Deadline } from '../vocabulary.js';

/** One signal for the two things that end an answer from outside: its time is up, or its client left. */
export function startDeadline(call: Call, requestTimeoutMs: number): Deadline & Disposable {
  const allowedMs = Math.min(requestTimeoutMs, call.deadlineMs ?? Number.POSITIVE_INFINITY);
  const endsMs = call.arrivedMs + allowedMs;
  const remainingMs = () => Math.max(0, Math.ceil(endsMs - performance.now()));

  // Not AbortSignal.any() with AbortSignal.timeout(): their timer cannot be stopped, and would keep the whole request
  // in memory until it fires, long after an answer of a second.
  const controller = new AbortController();
  const onClientLeft = () => controller.abort(call.clientLeft.reason);
  const timer = setTimeout(() => controller.abort(deadlineExceeded(allowedMs, call.deadlineMs)), remainingMs());
  call.clientLeft.addEventListener('abort', onClientLeft, { once: true });
  if (call.clientLeft.aborted) onClientLeft();

  return {
    signal: controller.signal,
    remainingMs,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      call.clientLeft.removeEventListener('abort', onClientLeft);
    },
  };
}

function deadlineExceeded(allowedMs: number, askedMs: number | undefined): InferenceError {
  const raise = allowedMs === askedMs ? 'allow it more with x-millrace-deadline-ms' : 'raise requestTimeoutMs';
  return new InferenceError(
    'deadline_exceeded',
    `The answer was not complete within ${allowedMs} ms. Ask for fewer tokens, or ${raise}.`,
  );
}
