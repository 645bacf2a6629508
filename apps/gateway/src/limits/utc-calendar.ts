const DAY_MS = 86_400_000;

/** Days since 1970-01-01, UTC. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

export function untilNextDayMs(ms: number): number {
  return (dayOf(ms) + 1) * DAY_MS - ms;
}

/** Months since January 1970, UTC. */
export function monthOf(ms: number): number {
  const date = new Date(ms);
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
}

export function untilNextMonthMs(ms: number): number {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - ms;
}
