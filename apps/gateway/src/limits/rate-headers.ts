import type { LimitKind, LimitStanding } from './rate-limiter.js';

/** OpenAI tells of these two; of which a caller has no limit, it hears nothing. */
const HEADERS = [
  {
    kind: 'requests_per_minute',
    limit: 'x-ratelimit-limit-requests',
    remaining: 'x-ratelimit-remaining-requests',
    reset: 'x-ratelimit-reset-requests',
  },
  {
    kind: 'tokens_per_minute',
    limit: 'x-ratelimit-limit-tokens',
    remaining: 'x-ratelimit-remaining-tokens',
    reset: 'x-ratelimit-reset-tokens',
  },
] as const satisfies readonly { readonly kind: LimitKind; readonly [header: string]: string }[];

/** `x-ratelimit-…` as OpenAI sends them: of each kind the limit with the least left. */
export function rateHeaders(standings: readonly LimitStanding[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const { kind, limit, remaining, reset } of HEADERS) {
    const standing = tightest(standings, kind);
    if (standing === undefined) continue;
    headers[limit] = String(standing.limit);
    headers[remaining] = String(standing.remaining);
    headers[reset] = spellDuration(standing.resetMs);
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
