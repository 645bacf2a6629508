import type { Redis } from 'ioredis';
import type { ResponseCache, ResponseCacheLimits } from '../response-cache.js';

/** What Redis needs for an entry beside its bytes: the key, and its places in the three lists. Measured with 5,600 of them: 630. */
const ENTRY_BYTES_EXTRA = 704;
/** Entries that one `put` may throw out; where that is not enough, it keeps nothing, and the next goes on. */
const TRIMMED_MAX = 1_000;

/**
 * Beside the entries there are three lists: by when each was asked for last, by when its time is up, and its size, with the sum of all
 * sizes in the field `total`. Redis itself forgets an entry whose time is up; its place in the lists is given back by the next `put`.
 *
 * If Redis loses one of the lists, since it has to forget something to stay within its own memory, the sums are wrong for a while; they
 * are right again when the lists are empty, or have expired.
 */
const REMOVE = `
local function remove(key)
  local size = redis.call('HGET', KEYS[3], key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('HDEL', KEYS[3], key)
  if size then redis.call('HINCRBY', KEYS[3], 'total', -tonumber(size)) end
end
local function remove_all(list)
  for _, key in ipairs(list) do
    redis.call('UNLINK', ARGV[1] .. key)
    remove(key)
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: the list by use. ARGV: the key of an entry that was found. */
const USE = `
local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'XX', time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
`;

/**
 * KEYS: the lists by use, by expiry, and of sizes. ARGV: what entries' keys begin with, then the key, the entry, its size, how much all may
 * take, how long it is kept. Returns what all take now.
 */
const PUT = `${REMOVE}
local key, size, bytes_max, age = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
-- First, since a Redis that is full refuses a script only the first thing that it writes, and this only if it needs memory.
redis.call('HSETNX', KEYS[3], 'total', 0)
redis.call('PEXPIRE', KEYS[3], 2 * age)
remove_all({ key })
remove_all(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ${TRIMMED_MAX}))

local function total() return tonumber(redis.call('HGET', KEYS[3], 'total') or '0') end
local left = ${TRIMMED_MAX}
while total() + size > bytes_max and size <= bytes_max and left > 0 do
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 9)
  if #oldest == 0 then
    redis.call('DEL', KEYS[2], KEYS[3])
    break
  end
  for _, one in ipairs(oldest) do
    remove_all({ one })
    left = left - 1
    if total() + size <= bytes_max then break end
  end
end
if total() + size > bytes_max then return total() end

redis.call('SET', ARGV[1] .. key, ARGV[3], 'PX', age)
redis.call('ZADD', KEYS[1], now, key)
redis.call('ZADD', KEYS[2], now + age, key)
redis.call('HSET', KEYS[3], key, size)
redis.call('HINCRBY', KEYS[3], 'total', size)
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 2 * age) end
return total()
`;

/** Redis' own: what its scripts make of `defineCommand`. */
interface Scripts {
  millraceCacheUse(usedList: string, key: string): Promise<number>;
  millraceCachePut(...args: readonly (string | number | Uint8Array)[]): Promise<number>;
}

/** For all gateways that share a Redis. What is kept there is what people asked for and were answered; its keys tell nothing of it. */
export class RedisResponseCache implements ResponseCache {
  #bytes = 0;
  readonly #scripts: Scripts;
  readonly #entries: string;
  readonly #lists: readonly string[];

  /**
   * @param redis whoever opened it closes it; its command time-out is that of every call here.
   * @param keyPrefix what all keys begin with.
   */
  constructor(
    private readonly redis: Redis,
    keyPrefix: string,
    private readonly limits: ResponseCacheLimits,
  ) {
    redis.defineCommand('millraceCacheUse', { lua: USE, numberOfKeys: 1 });
    redis.defineCommand('millraceCachePut', { lua: PUT, numberOfKeys: 3 });
    this.#scripts = redis as unknown as Scripts;
    // In braces: what a cluster chooses the slot by. A cache of its own, so that it need not lie where the limits lie.
    this.#entries = `{${keyPrefix}:cache}:entry:`;
    this.#lists = ['used', 'expires', 'sizes'].map((list) => `{${keyPrefix}:cache}:${list}`);
  }

  /** As of the last entry that this gateway put. */
  get bytes(): number {
    return this.#bytes;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const entry = await this.redis.getBuffer(this.#entries + key);
    if (entry === null) return undefined;
    // Nobody waits for the note of the use, and a Redis that is full, or only a replica now, takes none: the entry is there all the same.
    this.#scripts.millraceCacheUse(this.#lists[0]!, key).catch(() => {});
    return entry;
  }

  async put(key: string, entry: Uint8Array): Promise<void> {
    const { bytesMax, ageMsMax } = this.limits;
    const size = entry.byteLength + ENTRY_BYTES_EXTRA;
    const bytes = size > bytesMax ? new Uint8Array() : entry;
    const args = [
      this.#entries,
      key,
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      size,
      bytesMax,
      ageMsMax,
    ];
    this.#bytes = await this.#scripts.millraceCachePut(...this.#lists, ...args);
  }

  async close(): Promise<void> {}
}
