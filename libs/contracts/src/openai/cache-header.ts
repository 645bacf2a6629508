/** The header `x-millrace-cache` of a request for an answer, and of that answer. */
export const CACHE_HEADER = 'x-millrace-cache';

/** Each with what it asks for, as `/openapi.json` tells it. */
const MEANINGS = {
  on: 'kept, and answered from what is kept, repeatable or not',
  off: 'neither kept nor answered from what is kept',
  refresh: 'run, and kept in place of what was kept',
  semantic: '`on`, and answered also from what was kept for a question that means the same',
} as const;

export type CacheAsk = keyof typeof MEANINGS;
export const CACHE_ASKS = Object.keys(MEANINGS) as readonly CacheAsk[];

/** For the parameter, and for the header of the answer. */
export const CACHE_HEADER_TEXTS = {
  asked: `What to do about the cache of answers: ${CACHE_ASKS.map((ask) => `\`${ask}\`: ${MEANINGS[ask]}`).join('; ')}. Absent: as the settings say.`,
  told: 'Whether the answer came from the cache, or along with that of another request. Absent: the cache was no concern.',
} as const;
