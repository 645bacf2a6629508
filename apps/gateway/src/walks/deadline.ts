import { InferenceError } from '@millrace/contracts';
import type { Call, Deadline } from '../vocabulary.js';

/** One signal for the two things that end an answer from outside: its time is up, or its client left. */
export function startDeadline(call: Call, requestTimeoutMs: number): Deadline & Disposable {
  const endsMs = call.arrivedMs + requestTimeoutMs;
  const remainingMs = () => Math.max(0, Math.ceil(endsMs - performance.now()));

  // Not AbortSignal.any() with AbortSignal.timeout(): their timer cannot be stopped, and would keep the whole request
  // in memory until it fires, long after an answer of a second.
  const controller = new AbortController();
  const onClientLeft = () => controller.abort(call.clientLeft.reason);
  const timer = setTimeout(() => controller.abort(deadlineExceeded(requestTimeoutMs)), remainingMs());
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

function deadlineExceeded(requestTimeoutMs: number): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    `The answer was not complete within ${requestTimeoutMs} ms. Ask for fewer tokens, or raise requestTimeoutMs.`,
  );
}
