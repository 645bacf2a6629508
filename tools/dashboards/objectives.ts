import { ERROR_CATALOG } from '@millrace/contracts';

/**
 * What the service promises over 30 days; alerts and dashboards measure by it.
 *
 * 99.5 %: three and a half hours in a month. A machine with one worker is restarted and updated within that; 99.9 % (43 minutes) takes
 * several gateways and workers, and whoever has them may ask more of them.
 */
export const AVAILABILITY = { share: 0.995, days: 30 } as const;

/** 95 of 100 answers begin within a second: a bucket of the histogram, so that they are counted and not guessed. */
export const FIRST_TOKEN = { share: 0.95, withinSeconds: 1 } as const;

/** What an objective leaves. `1 - 0.995` is 0.0050000000000000044. */
export function budgetOf({ share }: { readonly share: number }): number {
  return Number((1 - share).toFixed(6));
}

/** For people: `0.5 %`. */
export function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}

/** Failures that are ours: the server's (5xx). */
const OURS = Object.entries(ERROR_CATALOG)
  .filter(([, { status }]) => status >= 500)
  .map(([code]) => code)
  .join('|');

/** Of `millrace_requests_total`. */
export const FAILED = `code=~"${OURS}"`;
/**
 * What the share is taken of. A bad request, a limit of a key's and a client who left say nothing of whether the service works: they
 * count on neither side. A full waiting room is a limit (429), and has an alert of its own.
 */
export const COUNTED = `code=~"none|${OURS}"`;

/** Prometheus 3 writes 1.0 where 2 writes 1. */
export const WITHIN = `le=~"${FIRST_TOKEN.withinSeconds}(\\\\.0)?"`;
