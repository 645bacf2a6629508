/** BullMQ's range; the lower runs sooner. */
const PRIORITY_MAX = 2 ** 21 - 1;
/** Seconds after which the count begins anew: half of the range, so that there is room for those that run sooner or later. */
const PERIOD_SECONDS = 2 ** 20;
/** In seconds, like everything else here. An answer that goes on is that much before its time. */
const LEAD_SECONDS_MAX = 2 ** 18;

/**
 * BullMQ runs the lowest number first and knows no ageing: with a number for each priority, low ones could wait for ever. So the number
 * is a time: when the job came, in seconds, and one second earlier for each step of priority. A job of priority -1,000 runs as if it had
 * come a thousand seconds later: behind everything ordinary that comes in the next quarter of an hour, and before what comes after that.
 *
 * The count begins anew every twelve days; what comes then runs before what has waited since before, once.
 */
export function jobPriority(priority: number, nowMs: number): number {
  const lead = Math.max(-LEAD_SECONDS_MAX, Math.min(LEAD_SECONDS_MAX, priority));
  const seconds = Math.floor(nowMs / 1000) % PERIOD_SECONDS;
  return Math.max(1, Math.min(PRIORITY_MAX, seconds + PERIOD_SECONDS / 2 - lead));
}
