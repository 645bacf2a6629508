import { setTimeout as sleep } from 'node:timers/promises';

/** What the program says of itself at `/health`. */
export interface Health {
  readonly status: 'ok' | 'loading' | 'failed';
  /** Where loading stands, or why it failed; may be empty. */
  readonly detail: string;
  /** Tokens that a sequence may hold; 0 while that isn't known. */
  readonly contextLength: number;
}

/** Where the program listens, and what it must be told by whoever asks. */
export interface ProgramAddress {
  readonly port: number;
  readonly key: string;
}

const POLL_MS = 200;
const WATCH_MS = 5_000;
const REPLY_MS_MAX = 10_000;
const REPLY_CHARACTERS_MAX = 100_000;

/**
 * Waits until the model is loaded.
 *
 * @throws Error in one sentence when it can't be, or takes longer than `loadMsMax`; what `signal` was aborted with.
 */
export async function loaded(
  address: ProgramAddress,
  loadMsMax: number,
  report: (sentence: string) => void,
  signal: AbortSignal,
): Promise<Health> {
  const untilMs = performance.now() + loadMsMax;
  let told = '';
  for (;;) {
    const health = await askHealth(address, REPLY_MS_MAX, signal);
    if (health?.status === 'ok') return health;
    if (health?.status === 'failed') throw new Error(health.detail || 'OpenVINO could not load the model.');
    if (performance.now() > untilMs) throw new Error(`OpenVINO had not loaded the model after ${loadMsMax} ms.`);
    if (health !== undefined && health.detail !== told) {
      told = health.detail;
      report(told);
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Resolves when it has not answered for `silentMsMax`. @throws what `signal` was aborted with. */
export async function silent(address: ProgramAddress, silentMsMax: number, signal: AbortSignal): Promise<void> {
  let heardAtMs = performance.now();
  while (performance.now() - heardAtMs <= silentMsMax) {
    await sleep(Math.min(WATCH_MS, silentMsMax / 4), undefined, { signal }).catch(() => signal.throwIfAborted());
    const health = await askHealth(address, Math.min(REPLY_MS_MAX, silentMsMax), signal);
    if (health !== undefined) heardAtMs = performance.now();
  }
}

/** Undefined when it does not answer: loading may keep it from it for a while. */
async function askHealth(
  { port, key }: ProgramAddress,
  replyMsMax: number,
  signal: AbortSignal,
): Promise<Health | undefined> {
  const short = AbortSignal.any([signal, AbortSignal.timeout(replyMsMax)]);
  try {
    const headers = { authorization: `Bearer ${key}` };
    const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: short, redirect: 'error', headers });
    return healthIn(await response.text());
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Undefined for anything that is none. */
export function healthIn(text: string): Health | undefined {
  if (text.length > REPLY_CHARACTERS_MAX) return undefined;
  try {
    const { status, models } = JSON.parse(text) as { status?: unknown; models?: unknown };
    if (status !== 'ok' && status !== 'loading' && status !== 'failed') return undefined;
    const [model] = Array.isArray(models) ? (models as Record<string, unknown>[]) : [];
    const context = Number(model?.context);
    return {
      status,
      detail: typeof model?.detail === 'string' ? model.detail : '',
      contextLength: Number.isSafeInteger(context) && context > 0 ? context : 0,
    };
  } catch {
    return undefined;
  }
}
