import { BUDGET_TRUST_MS, CONCURRENCY_LEASE_MS, MINUTE_MS, RESERVATION_MS } from './rate-limiter.js';

/**
 * What Redis runs: each script is one decision, and nothing else happens in Redis meanwhile. They do what `tallies.ts` does in memory, and
 * one contract suite holds both to it.
 *
 * A minute is a hash: by the second, what was used in it and the millisecond of the last use, as `count * 1000 + millisecond`; beside them
 * `sum`, which is right from `from` until `until`, so that the cells are read once in a while and not at every decision. At most 61 of
 * them count. A budget is a hash: `period` (day or month), `used`, `seeded` (when) and `generation`. Places are a sorted set of ids by the
 * time at which they come back. A reservation is `time tokens mark…`, with a mark for each rule.
 *
 * Every key has an expiry, and every script's work is bounded. Time is Redis' own, so gateways' clocks don't matter; what tests add to it
 * comes as the first argument, and is 0 elsewhere.
 */
const BUDGET_KEPT_MS = 40 * 86_400_000;
/** Longer than the scan of a minute's cells may be away, which renews it. */
const MINUTE_KEPT_MS = 3 * MINUTE_MS;
const PLACES_KEPT_MS = 2 * CONCURRENCY_LEASE_MS;

/** The letters by which scripts know kinds of limits. */
export const LETTERS = {
  requests_per_minute: 'r',
  tokens_per_minute: 't',
  concurrency: 'c',
  daily_budget: 'd',
  monthly_budget: 'm',
} as const;

const CLOCK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
`;

const PERIODS = `
local DAY = 86400000

-- Months since January 1970, from days since then: the calendar counted from a first of March, where leap days come last.
local function month_of(ms)
  local days = math.floor(ms / DAY) + 719468
  local era = math.floor(days / 146097)
  local day_of_era = days - era * 146097
  local year = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524) - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * day_of_year + 2) / 153)
  return (year + era * 400 - 1970) * 12 + from_march + 2
end

local function period_of(kind, ms)
  if kind == 'd' then return math.floor(ms / DAY) end
  return month_of(ms)
end

local function begin_of_month(month)
  local from_march = (month + 10) % 12
  local year = 1970 + math.floor(month / 12) - (from_march >= 10 and 1 or 0)
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local day_of_year = math.floor((153 * from_march + 2) / 5)
  local day_of_era = year_of_era * 365 + math.floor(year_of_era / 4) - math.floor(year_of_era / 100) + day_of_year
  return (era * 146097 + day_of_era - 719468) * DAY
end

local function until_next(kind, ms)
  if kind == 'm' then return begin_of_month(month_of(ms) + 1) - ms end
  return (math.floor(ms / DAY) + 1) * DAY - ms
end
`;

const MINUTES = `
local MINUTE = ${MINUTE_MS}

local function counts(last) return last > now - MINUTE and last <= now + MINUTE end

local function cells_of(key)
  local cells = {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local second = tonumber(all[i])
    if second then
      local value = tonumber(all[i + 1])
      cells[#cells + 1] = { field = all[i], last = second * 1000 + value % 1000, count = math.floor(value / 1000) }
    end
  end
  return cells
end

-- Forgets what has left the minute, and adds up what has not.
local function scan(key, window)
  window.sum, window.till, window.from, window.scanned = 0, 0, now, true
  local gone = {}
  for _, cell in ipairs(cells_of(key)) do
    if counts(cell.last) then
      window.sum = window.sum + cell.count
      local leaves = cell.last + MINUTE
      if window.till == 0 or leaves < window.till then window.till = leaves end
    else
      gone[#gone + 1] = cell.field
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

local function open_window(key)
  local second = string.format('%.0f', math.floor(now / 1000))
  local known = redis.call('HMGET', key, 'sum', 'until', 'from', second)
  local window = { second = second, cell = tonumber(known[4] or '0') }
  window.sum, window.till, window.from = tonumber(known[1] or '0'), tonumber(known[2] or '0'), tonumber(known[3] or '0')
  if now >= window.till or now < window.from - MINUTE then
    scan(key, window)
    if not counts(math.floor(now / 1000) * 1000 + window.cell % 1000) then window.cell = 0 end
  end
  return window
end

local function add(key, window, count)
  local cell = (math.floor(window.cell / 1000) + count) * 1000 + math.max(window.cell % 1000, now % 1000)
  if window.till == 0 then window.till = now + MINUTE end
  redis.call('HSET', key, window.second, cell, 'sum', window.sum + count, 'until', window.till, 'from', window.from)
  if window.scanned then redis.call('PEXPIRE', key, ${MINUTE_KEPT_MS}) end
end

-- Saves the next decision the same scan, where nothing is added.
local function remember(key, window)
  if not window.scanned or window.till == 0 then return end
  redis.call('HSET', key, 'sum', window.sum, 'until', window.till, 'from', window.from)
  redis.call('PEXPIRE', key, ${MINUTE_KEPT_MS})
end

-- Until at most that much is used, and until nothing is.
local function waits(key, used, target)
  local cells = cells_of(key)
  table.sort(cells, function(a, b) return a.last < b.last end)
  local wait, reset, left = 0, 0, used
  for _, cell in ipairs(cells) do
    if counts(cell.last) and cell.count > 0 then
      local leaves = math.min(MINUTE, cell.last + MINUTE - now)
      if left > target then wait = leaves end
      left = left - cell.count
      reset = leaves
    end
  end
  return wait, reset
end
`;

/**
 * KEYS: the reservation, then one for each rule. ARGV: shift, id, tokens, whether budgets may begin though nothing is known of them, then
 * kind and limit of each rule, then where each begins in that case; absent: at 0.
 * Returns whether it knew enough, whether a budget is outdated, then used, wait and reset of each rule.
 */
export const TAKE = `${CLOCK}${PERIODS}${MINUTES}
local id, tokens, from_zero = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local rules, outdated, admitted = {}, 0, true

for i = 2, #KEYS do
  local kind = ARGV[2 * i + 1]
  local rule = { key = KEYS[i], kind = kind, limit = tonumber(ARGV[2 * i + 2]), cost = tokens, wait = 0, reset = 0 }
  if kind == 'r' or kind == 't' then
    if kind == 'r' then rule.cost = 1 end
    rule.window = open_window(rule.key)
    rule.used = rule.window.sum
  elseif kind == 'c' then
    rule.cost = 1
    redis.call('ZREMRANGEBYSCORE', rule.key, '-inf', now)
    rule.used = redis.call('ZCARD', rule.key)
  else
    local known = redis.call('HMGET', rule.key, 'period', 'used', 'seeded', 'generation')
    if not known[1] and not from_zero then return { 0 } end
    rule.period = period_of(kind, now)
    rule.rolled = tonumber(known[1] or '-1') ~= rule.period
    local begins = not known[1] and ARGV[2 * #KEYS + i + 1] or 0
    rule.used = tonumber(rule.rolled and begins or known[2])
    rule.generation = known[4] or string.format('%.0f', now)
    if now - tonumber(known[3] or '0') >= ${BUDGET_TRUST_MS} then outdated = 1 end
  end
  if rule.used + rule.cost > rule.limit then admitted = false end
  rules[#rules + 1] = rule
end

local reply = { 1, outdated }
local reservation = string.format('%.0f %.0f', now, tokens)
for _, rule in ipairs(rules) do
  local mark = '0'
  if rule.window and (not admitted or rule.cost == 0) then
    rule.wait, rule.reset = waits(rule.key, rule.used, rule.limit - rule.cost)
  elseif rule.period then
    rule.reset = until_next(rule.kind, now)
    if rule.used + rule.cost > rule.limit then rule.wait = rule.reset end
  end
  if admitted then
    if rule.window then
      add(rule.key, rule.window, rule.cost)
    elseif rule.period then
      redis.call('HSET', rule.key, 'period', rule.period, 'used', rule.used + tokens, 'generation', rule.generation)
      if rule.rolled then redis.call('PEXPIRE', rule.key, ${BUDGET_KEPT_MS}) end
      mark = rule.generation
    else
      redis.call('ZADD', rule.key, now + ${CONCURRENCY_LEASE_MS}, id)
      redis.call('PEXPIRE', rule.key, ${PLACES_KEPT_MS})
    end
  elseif rule.window then
    remember(rule.key, rule.window)
  end
  reservation = reservation .. ' ' .. mark
  reply[#reply + 1] = rule.used
  reply[#reply + 1] = rule.wait
  reply[#reply + 1] = rule.reset
end
if admitted then redis.call('SET', KEYS[1], reservation, 'PX', ${RESERVATION_MS}) end
return reply
`;

/** KEYS as for `TAKE`. ARGV: shift, id, the tokens really used, then the kind of each rule. */
export const SETTLE = `${CLOCK}${PERIODS}
local id, tokens = ARGV[2], tonumber(ARGV[3])
local reservation = redis.call('GET', KEYS[1])
local words = {}
if reservation then
  redis.call('DEL', KEYS[1])
  for word in string.gmatch(reservation, '%S+') do words[#words + 1] = word end
end
local at, reserved = tonumber(words[1] or '0'), tonumber(words[2] or '0')

for i = 2, #KEYS do
  local key, kind, mark = KEYS[i], ARGV[i + 2], words[i + 1]
  if kind == 'c' then
    redis.call('ZREM', key, id)
  elseif kind == 't' and mark then
    local second = string.format('%.0f', math.floor(at / 1000))
    local known = redis.call('HMGET', key, second, 'sum')
    if known[1] and known[2] then
      local count = math.floor(known[1] / 1000)
      local settled = math.max(0, count + tokens - reserved)
      redis.call('HSET', key, second, settled * 1000 + known[1] % 1000, 'sum', known[2] + settled - count)
    end
  elseif (kind == 'd' or kind == 'm') and mark then
    local known = redis.call('HMGET', key, 'period', 'used', 'generation')
    if known[1] and tonumber(known[1]) == period_of(kind, at) then
      local counted = known[3] == mark and reserved or 0
      redis.call('HSET', key, 'used', math.max(0, known[2] + tokens - counted))
    end
  end
end
return reservation and 1 or 0
`;

/** KEYS: of each ask its reservation and its places. ARGV: shift, then of each ask its id and how many places' keys it has. */
export const HOLD = `${CLOCK}
local key = 1
for i = 2, #ARGV, 2 do
  redis.call('PEXPIRE', KEYS[key], ${RESERVATION_MS})
  key = key + 1
  for _ = 1, tonumber(ARGV[i + 1]) do
    redis.call('ZADD', KEYS[key], now + ${CONCURRENCY_LEASE_MS}, ARGV[i])
    redis.call('PEXPIRE', KEYS[key], ${PLACES_KEPT_MS})
    key = key + 1
  end
end
return 1
`;

/** KEYS: the budgets of day and month. ARGV: shift, when it was so (empty: now), then what was used of each. */
export const SEED = `${CLOCK}${PERIODS}
local at = tonumber(ARGV[2]) or now
for i, kind in ipairs({ 'd', 'm' }) do
  local period = period_of(kind, now)
  if period_of(kind, at) == period then
    local generation = redis.call('HGET', KEYS[i], 'generation')
    generation = string.format('%.0f', math.max(now, tonumber(generation or '0') + 1))
    redis.call('HSET', KEYS[i], 'period', period, 'used', ARGV[i + 2], 'seeded', now, 'generation', generation)
    redis.call('PEXPIRE', KEYS[i], ${BUDGET_KEPT_MS})
  end
end
return 1
`;
