"""The Lua scripts of counters in Redis or Valkey: to reserve, settle, expire, correct and look. Each is atomic."""

from __future__ import annotations

_COMMON = """
local function now_s()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local function turn(key, kind, amount, window, capacity, now)
  local h = redis.call('HMGET', key, 'available', 'at', 'window', 'taken', 'capacity')
  local available, at, win, taken = tonumber(h[1]), tonumber(h[2]), tonumber(h[3]), tonumber(h[4]) or 0
  local index = 0
  if kind == 'fixed' then index = math.floor(now / window) end
  if not available then return capacity, now, index, taken end
  local before = tonumber(h[5])
  if before and before ~= capacity then available = available + capacity - before end
  if kind == 'refill' then
    if now > at then available = math.min(capacity, available + (now - at) * amount / window); at = now
    elseif now < at - 1 then
      -- The clock was put back. Kept also where nothing is granted: else nothing would ever flow in again.
      at = now
      redis.call('HSET', key, 'at', string.format('%.17g', now))
    end
  elseif kind == 'fixed' and (index > win or index < win - 1) then available = amount; win = index end
  return available, at, win, taken
end
local function keep(key, kind, window, capacity, available, at, win, taken)
  redis.call('HSET', key, 'available', string.format('%.17g', available), 'at', string.format('%.17g', at),
    'window', win, 'taken', string.format('%.17g', taken), 'capacity', string.format('%.17g', capacity))
  if kind == 'total' then redis.call('PERSIST', key)
  elseif kind == 'held' then redis.call('PEXPIRE', key, 86400000)
  else
    local full = window
    if kind == 'refill' and available < 0 then full = window * (2 - available / capacity) end
    redis.call('PEXPIRE', key, math.ceil(full * 2000) + 1000)
  end
end
"""

# KEYS: tickets index, ticket, counters. ARGV: now, ttl, expiry, then kind, amount, window, capacity, charge each.
RESERVE = (
    _COMMON
    + """
local now, ttl, n = now_s(), tonumber(ARGV[2]), #KEYS - 2
local state, longest, level, first = {}, 0, 1, 0
for i = 1, n do
  local o = 3 + (i - 1) * 5
  local kind, amount, window = ARGV[o], tonumber(ARGV[o + 1]), tonumber(ARGV[o + 2])
  local capacity, charge = tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4])
  local available, at, win, taken = turn(KEYS[2 + i], kind, amount, window, capacity, now)
  if i == 1 then first = taken end
  local need = math.min(charge, capacity)
  if available + 1e-9 * capacity < need then
    local wait = -1
    if kind == 'refill' then wait = (need - available) * window / amount
    elseif kind == 'fixed' then wait = (win + 1) * window - now end
    if wait < 0 then longest = -1 elseif longest >= 0 and wait > longest then longest = wait end
    if longest == 0 then longest = 1e-6 end
  end
  if available / capacity < level then level = available / capacity end
  state[i] = {kind, window, capacity, available, at, win, taken, charge}
end
local out = {'0', string.format('%.17g', longest), string.format('%.17g', level), string.format('%.17g', first)}
if longest ~= 0 then return out end
for i = 1, n do
  local s = state[i]
  keep(KEYS[2 + i], s[1], s[2], s[3], s[4] - s[8], s[5], s[6], s[7] + s[8])
end
redis.call('HSET', KEYS[2], 'n', n)
for i = 1, n do
  local o = 3 + (i - 1) * 5
  redis.call('HSET', KEYS[2], 'k' .. i, KEYS[2 + i], 'd' .. i,
    table.concat({ARGV[o], ARGV[o + 1], ARGV[o + 2], ARGV[o + 3], ARGV[o + 4]}, ' '))
end
redis.call('PEXPIRE', KEYS[2], math.ceil(ttl * 2000) + 60000)
redis.call('ZADD', KEYS[1], string.format('%.17g', now + ttl), KEYS[2])
out[1] = '1'
return out
"""
)

_SETTLE = """
local function settle(index, ticket, used, now)
  if redis.call('ZREM', index, ticket) == 0 then return 0 end
  local n = tonumber(redis.call('HGET', ticket, 'n')) or 0
  for i = 1, n do
    local d = redis.call('HMGET', ticket, 'k' .. i, 'd' .. i)
    local p = {}
    for word in string.gmatch(d[2], '%S+') do p[#p + 1] = word end
    local kind, amount, window, capacity, charge = p[1], tonumber(p[2]), tonumber(p[3]), tonumber(p[4]), tonumber(p[5])
    local available, at, win, taken = turn(d[1], kind, amount, window, capacity, now)
    local back = charge
    if kind ~= 'held' then back = charge - (used[i] or charge) end
    keep(d[1], kind, window, capacity, math.min(capacity, available + back), at, win, taken)
  end
  redis.call('DEL', ticket)
  return 1
end
"""

# KEYS: tickets index, ticket, counters. ARGV: now, then what each charge really used.
SETTLE = (
    _COMMON
    + _SETTLE
    + """
local used = {}
for i = 2, #ARGV do used[i - 1] = tonumber(ARGV[i]) end
return settle(KEYS[1], KEYS[2], used, now_s())
"""
)

# KEYS: tickets index. ARGV: now. Counters of old tickets are in the index's slot because their keys share its tag.
EXPIRE = (
    _COMMON
    + _SETTLE
    + """
local now, count = now_s(), 0
for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)) do
  count = count + settle(KEYS[1], ticket, {}, now)
end
return count
"""
)

# KEYS: counter. ARGV: now, kind, amount, window, capacity, at most.
CORRECT = (
    _COMMON
    + """
local now, kind, window, capacity = now_s(), ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local available, at, win, taken = turn(KEYS[1], kind, tonumber(ARGV[3]), window, capacity, now)
keep(KEYS[1], kind, window, capacity, math.min(available, tonumber(ARGV[6])), at, win, taken)
return 1
"""
)

# KEYS: counter. ARGV: now, kind, amount, window, capacity.
LEVEL = (
    _COMMON
    + """
local available = turn(KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), now_s())
return string.format('%.17g', available)
"""
)
