const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How a certificate stands, from its first day to after its last. `fresh` is the only one that is not worth a word. */
export type CertificateAge = 'not yet valid' | 'fresh' | 'ending' | 'near its end' | 'on its last day' | 'expired';

/**
 * From when on somebody should look: 30 days before the end, 7, and one. Certificates that live for less than some months are renewed
 * by a program, usually with a third of their life left; for those, the shares of a life say that the renewal is late.
 */
const STAGES = [
  { age: 'on its last day', daysMax: 1, shareMax: 1 / 50 },
  { age: 'near its end', daysMax: 7, shareMax: 1 / 10 },
  { age: 'ending', daysMax: 30, shareMax: 1 / 4 },
] as const satisfies readonly { age: CertificateAge; daysMax: number; shareMax: number }[];

export interface Lifetime {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export function ageOf({ notBeforeMs, notAfterMs }: Lifetime, nowMs: number): CertificateAge {
  if (nowMs < notBeforeMs) return 'not yet valid';
  const leftMs = notAfterMs - nowMs;
  if (leftMs <= 0) return 'expired';
  const lifeMs = notAfterMs - notBeforeMs;
  const reached = STAGES.find(({ daysMax, shareMax }) => leftMs <= Math.min(daysMax * DAY_MS, shareMax * lifeMs));
  return reached?.age ?? 'fresh';
}

/** `3 days`, `5 hours`, `less than an hour`. */
export function timeText(ms: number): string {
  const [days, hours] = [Math.floor(ms / DAY_MS), Math.floor(ms / HOUR_MS)];
  if (days > 0) return days === 1 ? 'one day' : `${days.toLocaleString('en-US')} days`;
  if (hours > 0) return hours === 1 ? 'one hour' : `${hours} hours`;
  return 'less than an hour';
}

/** `2026-11-21 20:58 UTC`. */
export function dateText(ms: number): string {
  return Number.isFinite(ms) ? `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC` : 'never';
}
