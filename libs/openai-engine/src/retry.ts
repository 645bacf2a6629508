import { setTimeout as sleep } from 'node:timers/promises';
import { UpstreamFailure } from './upstream-failure.js';

export interface RetryTerms {
  /** Beside the first attempt. */
  readonly retriesMax: number;
  /** By `performance.now()`. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  /** What an upstream may ask us to wait with a caller on the line. */
  readonly retryAfterMsMax: number;
  /** @param nextInMs undefined when it was the last attempt. */
  onFailure(failure: UpstreamFailure, nextInMs: number | undefined): void;
}

const DELAY_MS_MIN = 250;
const DELAY_MS_MAX = 8_000;
/** Connections that were closed while they lay idle; each attempt takes another, and a pool has some. */
const STALE_MAX = 8;

/**
 * The result of the first attempt that succeeds.
 *
 * @throws InferenceError of the last attempt; anything that is no UpstreamFailure at once.
 */
export async function retrying<Result>(attempt: () => Promise<Result>, terms: RetryTerms): Promise<Result> {
  let stale = 0;
  for (let retries = 0; ; ) {
    try {
      return await attempt();
    } catch (failure) {
      if (!(failure instanceof UpstreamFailure)) throw failure;
      if (failure.retry === 'at once' && stale++ < STALE_MAX) continue;
      const delayMs =
        retries < terms.retriesMax ? retryDelayMs(retries, failure, Math.random(), terms.retryAfterMsMax) : undefined;
      const mayWait = delayMs !== undefined && performance.now() + delayMs < terms.deadlineAtMs;
      terms.onFailure(failure, mayWait ? delayMs : undefined);
      if (!mayWait) throw failure.error;
      await wait(delayMs, terms.signal);
      retries++;
    }
  }
}

/**
 * How long to wait before another attempt, or undefined where none makes sense: twice as long after each failure, and
 * anything between half of that and all, so that many who failed together do not come back together.
 *
 * @param retries attempts that failed before this one.
 * @param chance from 0 to 1.
 * @param retryAfterMsMax whoever asks to wait for longer is not asked again.
 */
export function retryDelayMs(
  retries: number,
  { retry, retryAfterMs }: Pick<UpstreamFailure, 'retry' | 'retryAfterMs'>,
  chance: number,
  retryAfterMsMax: number,
): number | undefined {
  if (retry === 'never') return undefined;
  const ownMs = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** retries) * (0.5 + chance / 2);
  if (retryAfterMs === undefined) return ownMs;
  return retryAfterMs > retryAfterMsMax ? undefined : Math.max(ownMs, retryAfterMs);
}

async function wait(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(delayMs, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}
