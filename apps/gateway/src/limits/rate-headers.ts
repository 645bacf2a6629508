import type { LimitKind, LimitStanding } from './rate-limiter.js';

/** OpenAI tells of these two; of which a caller has no limit, it hears nothing. */
const HEADERS = [
  ['requests_per_minute', 'requests'],
  ['tokens_per_minute', 'tokens'],
] as const satisfies readonly (readonly [LimitKind, string])[];

/** `x-ratelimit-…` as OpenAI sends them: of each kind the limit with the least left. */
export function rateHeaders(standings: readonly LimitStanding[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [kind, name] of HEADERS) {
    const standing = tightest(standings, kind);
    if (standing === undefined) continue;
    headers[`x-ratelimit-limit-${name}`] = String(standing.limit);
    headers[`x-ratelimit-remaining-${name}`] = String(standing.remaining);
    headers[`x-ratelimit-reset-${name}`] = spellDuration(standing.resetMs);
  }
  return headers;
}

function tightest(standings: readonly LimitStanding[], kind: LimitKind): LimitStanding | undefined {
  let least: LimitStanding | undefined;
  for (const standing of standings) {
    if (standing.kind === kind && (least === undefined || standing.remaining < least.remaining)) least = standing;
  }
  return least;
}

/** As OpenAI writes it: `17ms`, `8.64s`, `6m0s`, `2h0m0s`. Rounded up to milliseconds. */
export function spellDuration(ms: number): string {
  const wholeMs = Math.ceil(ms);
  if (wholeMs < 1000) return wholeMs === 0 ? '0s' : `${wholeMs}ms`;
  const hours = Math.floor(wholeMs / 3_600_000);
  const minutes = Math.floor(wholeMs / 60_000) % 60;
  const seconds = (wholeMs % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
