"""Counters in Redis or Valkey, shared by processes and hosts: one Lua script each to reserve, settle, correct, expire.

A script runs atomically and takes its time from the server, so that processes with different clocks agree. Each
counter is a hash, open tickets are hashes listed by expiry in a sorted set. Keys of one reservation must share a slot:
put what they have in common in braces (`{pool}:tpm`). `settle` never waits: settlements are sent in order in the
background, and once more after a lost connection; what is lost for good is settled as reserved when its ticket expires.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from hapenny.core.clock import Clock
from hapenny.stores.counters import Charge, Grant, Limit, Ticket

EXPIRE_EVERY_S = 30.0
"""How often a process that reserves also settles the tickets of processes that died."""

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
    if now > at then available = math.min(capacity, available + (now - at) * amount / window); at = now end
  elseif kind == 'fixed' and index > win then available = amount; win = index end
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


class RedisCounters:
    """`Counters` in a Redis or Valkey.

    `url`: redis:// or rediss://. `prefix`: of all keys. `own_clock`: take times from `clock` instead of the server
    (tests; all processes must then agree). Tickets of charges that share a `{tag}` are kept under that tag. Methods
    that wait raise `ConnectionError` when the server cannot be reached.
    """

    def __init__(self, url: str, clock: Clock, *, prefix: str = "hapenny:", own_clock: bool = False) -> None:
        import redis.asyncio as client

        self._redis: Any = client.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
        self._clock = clock
        self._prefix = prefix
        self._own_clock = own_clock
        scripts = (RESERVE, SETTLE, EXPIRE, CORRECT, LEVEL)
        self._reserve, self._settle, self._expire, self._correct, self._level = map(
            self._redis.register_script, scripts
        )
        self._outbox: deque[tuple[Any, list[str], list[Any]]] = deque(maxlen=100_000)
        self._sender: asyncio.Task[None] | None = None
        self._tags: dict[str, None] = {}
        self._expired_at = clock.now()
        self.lost = 0

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        """As in `Counters`. One round trip; settlements that were not sent yet go first."""
        await self._flush()
        tag = _tag(charges[0].key) if charges else ""
        self._tags.setdefault(tag)
        if self._clock.now() - self._expired_at > EXPIRE_EVERY_S:
            self._expired_at = self._clock.now()
            for used in self._tags:
                self._post(self._expire, [self._index(used)], [self._now()])
        id = self._clock.new_id()
        keys = [self._index(tag), f"{self._prefix}{tag}:ticket:{id}", *(self._prefix + c.key for c in charges)]
        arguments: list[Any] = [self._now(), ttl_s]
        for charge in charges:
            limit = charge.limit
            arguments += [limit.kind, limit.amount, limit.window_s, limit.capacity, charge.amount]
        granted, wait, level, taken = await self._run(self._reserve, keys, arguments)
        seconds = float(wait)
        if granted != b"1":
            return Grant(None, math.inf if seconds < 0 else seconds, float(level), float(taken))
        return Grant(Ticket(id, tuple(charges), tag), 0.0, float(level), float(taken))

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        """As in `Counters`."""
        keys = [self._index(ticket.scope), f"{self._prefix}{ticket.scope}:ticket:{ticket.id}"]
        self._post(self._settle, keys, [self._now(), *actual])

    def correct(self, key: str, limit: Limit, at_most: float) -> None:
        """As in `Counters`."""
        arguments = [self._now(), limit.kind, limit.amount, limit.window_s, limit.capacity, at_most]
        self._post(self._correct, [self._prefix + key], arguments)

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        """As in `Counters`."""
        await self._flush()
        found = []
        for key, limit, _ in charges:
            arguments = [self._now(), limit.kind, limit.amount, limit.window_s, limit.capacity]
            found.append(float(await self._run(self._level, [self._prefix + key], arguments)))
        return found

    async def expire(self) -> int:
        """As in `Counters`, for the pools this process has used."""
        await self._flush()
        count = 0
        for tag in list(self._tags):
            count += int(await self._run(self._expire, [self._index(tag)], [self._now()]))
        return count

    async def aclose(self) -> None:
        """As in `Counters`."""
        await self._flush()
        await self._redis.aclose()

    async def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        import redis.exceptions as errors

        try:
            return await script(keys=keys, args=arguments)
        except (errors.ConnectionError, errors.TimeoutError) as error:
            raise ConnectionError(f"the counter store cannot be reached: {error}") from error

    def _index(self, tag: str) -> str:
        return f"{self._prefix}{tag}:tickets"

    def _now(self) -> Any:
        return repr(self._clock.wall()) if self._own_clock else ""

    def _post(self, script: Any, keys: list[str], arguments: list[Any]) -> None:
        self._outbox.append((script, keys, arguments))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _flush(self) -> None:
        while self._outbox:
            if self._sender is None or self._sender.done():
                self._sender = asyncio.get_running_loop().create_task(self._send())
            await asyncio.shield(self._sender)
        if self._sender is not None and not self._sender.done():
            await asyncio.shield(self._sender)

    async def _send(self) -> None:
        while self._outbox:
            script, keys, arguments = self._outbox.popleft()
            for attempt in (1, 2):
                try:
                    await script(keys=keys, args=arguments)
                    break
                except Exception:
                    if attempt == 2:
                        self.lost += 1  # its ticket expires by itself, settled as reserved
                    await self._clock.sleep(0.05)


def _tag(key: str) -> str:
    """The part in braces, with them; a key without is its own tag."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start : end + 1] if 0 <= start < end else ""
