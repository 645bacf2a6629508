/**
 * How workers announce themselves in Redis, behind `redisKeyPrefix` and a colon: a sorted set of their addresses, each with the time, in
 * milliseconds on Redis' clock, until which it counts.
 */
export const PRESENCE_SET = 'workers';
/** The channel on which it is told that the set has changed. */
export const PRESENCE_NEWS = 'workers:news';
/** A worker announces itself so many times before it would count as gone. */
export const PRESENCE_INTERVALS = 3;
