import { BACKGROUND_PRIORITY_MAX } from './engine.js';

/** How long requests may take, as the settings of these names say. */
export interface TimeLimits {
  readonly requestTimeoutMs: number;
  readonly backgroundTimeoutMs: number;
}

/** What of a request says how long it may take. */
export interface TimedRequest {
  readonly priority: number;
  /** What it asks for. Absent: all that it may have. */
  readonly deadlineMs?: number | undefined;
}

/** The setting that holds for a request: one that nobody waits for gives way to others, and so takes far longer. */
export function timeoutSettingOf(priority: number): keyof TimeLimits {
  return priority <= BACKGROUND_PRIORITY_MAX ? 'backgroundTimeoutMs' : 'requestTimeoutMs';
}

export function timeoutMsOf(priority: number, limits: TimeLimits): number {
  return limits[timeoutSettingOf(priority)];
}

/** What a request asks for, within what it may have. */
export function allowedMsOf({ priority, deadlineMs }: TimedRequest, limits: TimeLimits): number {
  const mostMs = timeoutMsOf(priority, limits);
  return Math.min(deadlineMs ?? mostMs, mostMs);
}
